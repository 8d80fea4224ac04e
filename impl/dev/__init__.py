"""For those who write datasets: new modules from templates, checks, generated tables in the docs."""
