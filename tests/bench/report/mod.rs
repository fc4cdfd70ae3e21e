//! What is said of the figures: a table for the reader, JSON for programs, `BENCH.md` for the repository.
//!
//! Every figure is printed with its noise. Nothing here may round a loss away or leave a missed target out.

mod agent;
mod json;
mod markdown;
mod number;
mod table;

pub(crate) use json::json;
pub(crate) use markdown::markdown;
pub(crate) use table::table;
