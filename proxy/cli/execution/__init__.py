"""What `openline exec` is made of: the command as a child, where its calls go, and what is said in the end."""
