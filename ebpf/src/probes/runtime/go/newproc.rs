//! Goroutines at their start: those of a request's goroutines are its own, also where the ones between make no call.
//!
//! One trap for each `go` statement: the agent puts it in only where these are rare, and takes it out again.
