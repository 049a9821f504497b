//! The bindings to `wit/`: one module per world. `reduce` and `split` share the types of `map`.
//!
//! The modules are generated and checked in, because a generator takes longer to build than a plugin and the SDK. The
//! crate `sdk-bindings` writes and checks them.
//!
//! A component imports only what its own world names, because each world's `export!` macro adds the description of
//! that world and of no other.

#![expect(unsafe_code, warnings, reason = "generated code")]

#[rustfmt::skip]
pub mod map;
#[rustfmt::skip]
pub mod reduce;
#[rustfmt::skip]
pub mod split;
