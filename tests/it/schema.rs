//! The public contract as it is committed.

/// `schema.graphql` is what the program prints: whoever changes the API changes that file in the same commit.
#[test]
fn the_committed_schema_is_the_one_of_the_program() {
    let committed = include_str!("../../schema.graphql");
    let printed = bursar::graphql::sdl();
    let differs = committed.lines().zip(printed.lines()).position(|(old, new)| old != new).map(|line| line + 1);
    assert!(committed == printed, "schema.graphql differs from line {differs:?} on: cargo run -q -- schema > schema.graphql");
}
