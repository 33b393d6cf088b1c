"""Moving what is finished to its past tables, and deleting it when nobody wants to keep it any longer."""
