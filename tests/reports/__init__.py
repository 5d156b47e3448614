"""Public reports of wrong numbers in programs like this one, each as a test of what is right here."""
