//! Tools for bundles: export, filter, gRPC, merge, recover, redact.
//!
//! A running capture imports nothing from here.

mod body_decoder;
pub mod export;
pub mod filter;
pub mod grpc;
mod id_set;
mod in_order;
mod indexed_map;
pub mod merge;
mod packer;
pub mod recover;
pub mod redact;
mod rewriter;
mod sorted_map;
mod temp_body;
mod urlencoded;

#[cfg(test)]
mod hostile_tests;
