//! Reading just enough of a message in the kernel to know what to copy.
