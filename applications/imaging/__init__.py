"""What the reports of imaging tasks are made of: matching, tables, overlays."""
