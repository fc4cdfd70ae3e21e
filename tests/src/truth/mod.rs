//! The ground-truth harness: requests whose true tree is known, and how much of it a tracer gave back.
//!
//! Every call carries its id in its path, and an id says whose child it is (`/call/17.0.2` is made by whoever serves
//! `/call/17.0`), so what is true needs no tracer to be known. [`graph`] says who calls whom, [`score`] compares spans with it
//! and knows nothing of where they come from, [`load`] sends the requests, [`cases`] is the table of what is run, [`services`]
//! starts one of its services, [`run`] puts them together with an agent, and [`table`] says what came out. What is scored
//! must never be judged by timing or by an id of the tracer's own making.

pub mod cases;
pub mod graph;
pub mod load;
pub mod run;
pub mod score;
pub mod services;
pub mod table;
