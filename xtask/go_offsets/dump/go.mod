module dump

go 1.24
