module spanwire.test/truth

go 1.19
