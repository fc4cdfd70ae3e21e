//! The search language: parsed here and nowhere else.
//!
//! `syntax` is what was written, `parse` reads it, `reading` says what it means (and what was guessed), `matching` asks a
//! trace. A trace matches if one span satisfies all terms; an attribute that the span lacks is looked up on its ancestors,
//! nearest first. Whatever is typed never panics and never takes longer than it is long.

mod field;
mod matching;
mod parse;
mod reading;
mod syntax;

pub(crate) use matching::Match;
pub(crate) use parse::{Mistake, parse};
pub(crate) use reading::{Query, read};
pub(crate) use syntax::Node;

#[cfg(test)]
mod tests;
