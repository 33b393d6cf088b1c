"""Every read that people see, for the API and the console alike: one file a noun."""
