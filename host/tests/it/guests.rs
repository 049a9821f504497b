//! Guests: the SDK and the plugins pass their own tests, which run natively.

use crate::support::{cargo_in_guests, succeed};

#[test]
fn the_sdk_and_the_plugins_pass_their_own_tests() {
    let shown = succeed(cargo_in_guests().args(["test", "--workspace"]));
    assert!(shown.contains("test result: ok."), "{shown}");
}
