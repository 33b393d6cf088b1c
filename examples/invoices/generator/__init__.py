"""An invented office: its suppliers, their invoices, and the e-mails in which they send them."""
