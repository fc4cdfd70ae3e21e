# Puma for the truth: threads enough, and no connection closed because it is idle.

threads 16, 16
persistent_timeout 600
first_data_timeout 600
environment 'production'
quiet
