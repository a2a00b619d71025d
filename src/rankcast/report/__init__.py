"""Reports: a document in, HTML and Markdown out. Templates and plots stay here."""
