//! Python pickles, read as data: a small machine that knows the opcodes and the few functions of which checkpoints are
//! made, and executes nothing.
//!
//! A pickle is a program for a stack machine, and a hostile one may ask Python to call any function. Here a function is
//! a name, and a call is one of three things: a function that makes a dictionary or describes a tensor, which this
//! module does itself; an object of a trainer that stands beside the weights (callbacks, configurations, NumPy
//! scalars), which becomes an [opaque](Node::Opaque) value that remembers its name only; or anything else, which is an
//! error that tells the name. A name that is not called harms nobody and stays a [name](Node::Global).
//!
//! What a pickle can cost is bounded: operations, values, tensors, ranks, strings, names of functions and keys of storages.
//! Values refer to each other by index and share their strings, so that no nesting of theirs is a recursion here, and none
//! is a copy.

mod calls;
mod constants;
mod globals;
mod machine;
mod node;
mod problem;
mod reader;

pub(crate) use calls::MAX_KEY;
pub(crate) use machine::{Pickle, load};
pub(crate) use node::{Node, NodeId, RawTensor, Storage};
pub use problem::PickleProblem;
