//! Rules about the text of the repository that no compiler keeps: which room may name which, that documents name tests that exist, and
//! the small manners of every file.
//!
//! Always true here: each rule is a function over text that returns what is wrong, is run over the whole tree by one test, and is shown
//! red on made-up text by another. An exception is a line of a table with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

// ---------------------------------------------------------------------------------------------------------------------------------
// Which room leans on which
// ---------------------------------------------------------------------------------------------------------------------------------

/// A part of `src/` and what its files may not name.
struct Room {
    /// `src/` paths without the ending: `src/app` covers `src/app.rs` and everything below `src/app/`.
    path: &'static str,
    /// Crates, modules (`crate::…`) or items that no file of the room refers to.
    never: &'static [&'static str],
    /// What is allowed all the same: file (`*` for every file of the room), reference, reason.
    except: &'static [(&'static str, &'static str, &'static str)],
}

/// `main → http → graphql → app → domain, store → entity, outbox, port`; `worker → app`. Nothing points back.
const ROOMS: &[Room] = &[
    Room {
        path: "src/app",
        never: &["crate::graphql", "crate::http", "crate::worker", "entity", "sea_orm", "async_graphql", "axum"],
        except: &[
            ("*", "sea_orm::DatabaseTransaction", "a use case holds its transaction; it builds no query"),
            ("*", "sea_orm::ConnectionTrait", "a use case passes on the connection or transaction that it is part of; it builds no query"),
            ("*", "sea_orm::TransactionTrait", "a use case begins and commits its transaction"),
        ],
    },
    Room {
        path: "src/store",
        never: &["crate::graphql", "crate::http", "crate::app", "crate::worker", "port", "async_graphql", "axum"],
        except: &[],
    },
    Room {
        path: "src/outbox",
        never: &["crate::graphql", "crate::http", "crate::app", "crate::worker", "port", "async_graphql", "axum"],
        except: &[],
    },
    Room {
        path: "src/worker",
        never: &["crate::graphql", "crate::http", "crate::store", "entity", "sea_orm", "async_graphql", "axum"],
        except: &[],
    },
    Room {
        path: "src/graphql",
        never: &["crate::http", "crate::worker", "crate::store", "crate::outbox", "port", "entity", "sea_orm"],
        except: &[],
    },
    Room { path: "src/http", never: &["crate::worker", "crate::store", "crate::outbox", "entity", "sea_orm"], except: &[] },
];

/// The one file of `src/` that names a gateway: it chooses the adapters.
const CHOOSES_GATEWAYS: &str = "src/main.rs";

/// What stands beside the gateways in `adapters/`: the port, and what adapters share.
const NO_GATEWAYS: &[&str] = &["port", "http", "testkit"];

/// The gateways that there are: each folder of `adapters/` is a crate that is named like it.
fn gateways() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("adapters"))
        .expect("the adapters are there")
        .map(|entry| entry.expect("an entry of a folder can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| !NO_GATEWAYS.contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

/// The crates whose dependency lists are part of the same table.
struct Crate {
    manifest: &'static str,
    /// If given, the only normal dependencies.
    only: Option<&'static [&'static str]>,
    /// Never a dependency, not even for tests.
    never: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate {
        manifest: "domain/Cargo.toml",
        only: Some(&[
            "caseless",
            "chrono",
            "chrono-tz",
            "email_address",
            "idna",
            "iso_currency",
            "rust_decimal",
            "serde",
            "serde_json",
            "thiserror",
            "unicode-normalization",
            "unicode-properties",
            "uuid",
        ]),
        never: &["entity", "migration", "port", "sea-orm", "tokio", "async-graphql", "axum"],
    },
    Crate {
        manifest: "entity/Cargo.toml",
        only: None,
        never: &["migration", "sea-orm-migration", "domain", "port", "async-graphql", "axum"],
    },
    Crate { manifest: "migration/Cargo.toml", only: None, never: &["entity", "domain", "port", "async-graphql", "axum"] },
    Crate { manifest: "adapters/port/Cargo.toml", only: None, never: &["sea-orm", "axum", "reqwest", "gateway-http"] },
    Crate { manifest: "adapters/http/Cargo.toml", only: None, never: &["domain", "sea-orm"] },
    Crate { manifest: "adapters/testkit/Cargo.toml", only: None, never: &["sea-orm", "gateway-http"] },
    Crate { manifest: "adapters/manual/Cargo.toml", only: None, never: &["sea-orm", "axum", "gateway-http"] },
];

/// Whatever stands in `adapters/` knows the port, and neither our tables, nor our API, nor another gateway.
const NEVER_IN_ADAPTERS: &[&str] = &["bursar", "entity", "migration", "async-graphql"];

/// What is wrong with the references of one file of `src/`.
fn layer_problems(path: &str, text: &str) -> Vec<String> {
    let references = references(path, &code_only(text));
    let mut problems = Vec::new();
    for gateway in gateways().iter().filter(|_| path != CHOOSES_GATEWAYS) {
        for reference in references.iter().filter(|reference| starts_with_path(reference, gateway)) {
            problems.push(format!("{path}: only {CHOOSES_GATEWAYS} names gateways (it names {reference})"));
        }
    }
    for room in ROOMS.iter().filter(|room| in_room(path, room.path)) {
        for reference in &references {
            let allowed = room.except.iter().any(|(file, item, _)| (*file == "*" || *file == path) && starts_with_path(reference, item));
            if let Some(barred) = room.never.iter().find(|barred| starts_with_path(reference, barred))
                && !allowed
            {
                problems.push(format!("{path}: {} must not name {barred} (it names {reference})", room.path));
            }
        }
    }
    problems
}

fn in_room(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// `a::b::c` starts with `a::b`, not with `a::bb`.
fn starts_with_path(reference: &str, prefix: &str) -> bool {
    reference.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that a file names, from the crate's root (`crate::store::order`) or from another crate (`sea_orm::DbErr`).
fn references(path: &str, code: &str) -> BTreeSet<String> {
    let module: Vec<&str> =
        path.trim_start_matches("src/").trim_end_matches(".rs").split('/').filter(|part| !matches!(*part, "lib" | "main")).collect();
    let tokens = tokens(code);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        // `impl Stream + use<>` captures, it names nothing.
        if tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| next != "<") {
            at = use_tree(&tokens, at + 1, &[], &module, &mut found);
        } else if is_name(&tokens[at]) && (at == 0 || tokens[at - 1] != ".") {
            let mut parts = vec![tokens[at].clone()];
            at += 1;
            while at + 1 < tokens.len() && tokens[at] == "::" && is_name(&tokens[at + 1]) {
                parts.push(tokens[at + 1].clone());
                at += 2;
            }
            if parts.len() > 1 {
                found.insert(from_root(&parts, &module));
            }
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one `use` tree from `at`, adds its leaves, returns where it ends.
fn use_tree(tokens: &[String], mut at: usize, before: &[String], module: &[&str], found: &mut BTreeSet<String>) -> usize {
    let mut parts = before.to_vec();
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = use_tree(tokens, at, &parts, module, found);
                    if at < tokens.len() && tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            name => {
                parts.push(name.to_owned());
                at += 1;
            }
        }
    }
    if !parts.is_empty() {
        found.insert(from_root(&parts, module));
    }
    at
}

/// Turns `super`, `self` and the library's own name into a path from `crate`.
fn from_root(parts: &[String], module: &[&str]) -> String {
    let mut base: Vec<&str> = module.to_vec();
    let mut rest = parts;
    let mut relative = false;
    match rest.first().map(String::as_str) {
        Some("crate" | "bursar") => {
            return ["crate"].into_iter().chain(rest[1..].iter().map(String::as_str)).collect::<Vec<_>>().join("::");
        }
        Some("self") => {
            relative = true;
            rest = &rest[1..];
        }
        _ => {}
    }
    while rest.first().is_some_and(|part| part == "super") {
        relative = true;
        base.pop();
        rest = &rest[1..];
    }
    if !relative {
        return parts.join("::");
    }
    ["crate"].into_iter().chain(base).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

/// Names, `::`, and every other character by itself; blanks are left out.
fn tokens(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_alphanumeric() || character == '_' {
            let mut name = String::from(character);
            while let Some(next) = characters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                name.push(next);
            }
            found.push(name);
        } else if character == ':' && characters.next_if_eq(&':').is_some() {
            found.push("::".to_owned());
        } else if !character.is_whitespace() {
            found.push(character.to_string());
        }
    }
    found
}

fn is_name(token: &str) -> bool {
    token.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
}

/// What is wrong with the dependencies of one crate.
fn dependency_problems(rule: &Crate, manifest: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (section, name, _) in dependency_lines(manifest) {
        let listed = rule.only.is_none_or(|only| section != "dependencies" || only.contains(&name));
        if !listed || rule.never.contains(&name) {
            problems.push(format!("{}: must not depend on {name}", rule.manifest));
        }
    }
    problems
}

/// What is wrong with the dependencies of a crate in `adapters/`, whichever it is.
fn adapter_problems(folder: &str, manifest: &str, gateways: &[String]) -> Vec<String> {
    let barred = |name: &str| NEVER_IN_ADAPTERS.contains(&name) || gateways.iter().any(|other| other == name && name != folder);
    let names = dependency_lines(manifest).into_iter().map(|(_, name, _)| name);
    names.filter(|name| barred(name)).map(|name| format!("adapters/{folder}/Cargo.toml: must not depend on {name}")).collect()
}

/// Section, name and whole line of each dependency of a package (not of the workspace's list of versions).
fn dependency_lines(manifest: &str) -> Vec<(&str, &str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(header) = line.trim().strip_prefix('[') {
            section = header.split(']').next().unwrap_or_default();
        } else if section.ends_with("dependencies")
            && !section.starts_with("workspace")
            && let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            found.push((section, name.trim().trim_end_matches(".workspace"), line));
        }
    }
    found
}

#[test]
fn rooms_lean_only_on_the_rooms_below_them() {
    let problems = sources()
        .iter()
        .filter(|(path, _)| path.starts_with("src/"))
        .flat_map(|(path, text)| layer_problems(path, text))
        .collect::<Vec<_>>();
    assert_clean(&problems);
}

#[test]
fn crates_lean_only_on_the_crates_below_them() {
    let mut problems = CRATES.iter().flat_map(|rule| dependency_problems(rule, &read(rule.manifest))).collect::<Vec<_>>();
    for folder in gateways().iter().map(String::as_str).chain(NO_GATEWAYS.iter().copied()) {
        problems.extend(adapter_problems(folder, &read(&format!("adapters/{folder}/Cargo.toml")), &gateways()));
    }
    assert_clean(&problems);
}

#[test]
fn a_reference_to_a_wrong_room_is_reported() {
    // File, text, how many references are wrong.
    let cases = [
        ("src/app/order.rs", "use crate::graphql::order::Order;", 1),
        ("src/app/order.rs", "use crate::{error::Error, http::{auth, health}, store};", 2),
        ("src/app/order.rs", "fn f() { entity::order::Entity::find() }", 1),
        ("src/app/order.rs", "use sea_orm::{DatabaseTransaction, QueryFilter, TransactionTrait};", 1),
        ("src/app/order.rs", "use sea_orm::*;", 1),
        ("src/app.rs", "use super::worker::Worker;", 1),
        ("src/app/order.rs", "use super::super::worker::Worker;", 1),
        ("src/app/order.rs", "use domain::Money; use crate::{outbox, store}; use port::PaymentGateway;", 0),
        ("src/app/order.rs", "// use crate::graphql::x;\n/* entity::order */ const TEXT: &str = \"sea_orm::Select\";", 0),
        ("src/app/order.rs", "const TEXT: &str = r#\"a \" crate::http::x\"#; const C: char = '\"'; fn f<'a>(x: &'a str) {}", 0),
        ("src/graphql/order.rs", "use sea_orm::DbErr;", 1),
        ("src/graphql/order.rs", "fn f() { crate::store::order::insert() }", 1),
        ("src/graphql/order.rs", "use crate::app::App; use crate::error::Error;", 0),
        ("src/http/auth.rs", "use ::entity::account;", 1),
        ("src/http.rs", "use crate::graphql::Schema; use crate::app::App;", 0),
        ("src/http/webhook.rs", "use sandbox::Sandbox;", 1),
        ("src/store/order.rs", "use crate::app::Caller; use port::Outcome; use async_graphql::Object;", 3),
        ("src/store/order.rs", "use entity::order; use sea_orm::{EntityTrait, QueryFilter as _}; use domain::Money;", 0),
        ("src/store/cart.rs", "use entity::cart; fn f() { super::order::lock() }", 0),
        ("src/outbox.rs", "use crate::app::App;", 1),
        ("src/worker/fulfil.rs", "use crate::store::order;", 1),
        ("src/worker/fulfil.rs", "use crate::app::App; use crate::outbox::Job;", 0),
        ("src/config.rs", "use manual::Manual;", 1),
        ("src/main.rs", "use manual::Manual; use bursar::{app::App, http};", 0),
        ("src/app/order.rs", "fn f() -> impl Stream + use<> { g(|| { x; }) }", 0),
        ("src/app/manual.rs", "use crate::app::manual; fn f() { self::manual::x() }", 0),
    ];
    for (path, text, wrong) in cases {
        let problems = layer_problems(path, text);
        assert_eq!(problems.len(), wrong, "{path}: {text}\n{problems:#?}");
    }
}

#[test]
fn a_wrong_dependency_is_reported() {
    let cases = [
        ("domain/Cargo.toml", "[dependencies]\nchrono = { workspace = true } # time\n", 0),
        ("domain/Cargo.toml", "[dependencies]\nrand = { workspace = true } # chance\n", 1),
        ("domain/Cargo.toml", "[dev-dependencies]\nproptest = { workspace = true } # properties\ntokio = \"1\" # no\n", 1),
        ("entity/Cargo.toml", "[dependencies]\nmigration.workspace = true # history\n", 1),
        ("migration/Cargo.toml", "[dependencies]\nentity = { workspace = true } # rows\n", 1),
        ("adapters/port/Cargo.toml", "[dependencies]\nreqwest = { workspace = true } # calls\n", 1),
        ("adapters/manual/Cargo.toml", "[workspace.dependencies]\nentity = { path = \"entity\" }\n", 0),
    ];
    for (manifest, text, wrong) in cases {
        let rule = CRATES.iter().find(|rule| rule.manifest == manifest).expect("the case names a crate of the table");
        let problems = dependency_problems(rule, text);
        assert_eq!(problems.len(), wrong, "{manifest}: {text}\n{problems:#?}");
    }
    let gateways = ["sandbox".to_owned(), "manual".to_owned()];
    for (folder, text, wrong) in [
        ("port", "[dependencies]\nsandbox = { workspace = true } # one gateway\n", 1),
        ("sandbox", "[build-dependencies]\nentity = { workspace = true } # rows\n", 1),
        ("sandbox", "[dev-dependencies]\nmanual = { workspace = true } # a neighbour\nbursar = { workspace = true } # all of it\n", 2),
        ("manual", "[dependencies]\nport = { workspace = true } # the port\nmanual = { workspace = true } # itself\n", 0),
    ] {
        let problems = adapter_problems(folder, text, &gateways);
        assert_eq!(problems.len(), wrong, "{folder}: {text}\n{problems:#?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Documents that name tests
// ---------------------------------------------------------------------------------------------------------------------------------

/// What is wrong with a table whose rows are `| label | words | built, in part or planned | tests |`.
fn table_problems(path: &str, document: &str, expected: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut labels = Vec::new();
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [label, words, status, named] = cells[..] else {
            problems.push(format!("{path}: a row has {} cells, not 4: {line}", cells.len()));
            continue;
        };
        if status == "Status" || label.starts_with("--") {
            continue;
        }
        labels.push(label.to_owned());
        if words.is_empty() {
            problems.push(format!("{path}: {label} says nothing"));
        }
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        match status {
            "built" | "in part" if named.is_empty() => problems.push(format!("{path}: {label} is {status} and names no test")),
            "planned" if !named.is_empty() => problems.push(format!("{path}: {label} is planned and names a test")),
            "built" | "in part" | "planned" => {}
            other => problems.push(format!("{path}: {label} is {other:?}, not built, in part or planned")),
        }
        for name in named {
            if !tests.contains(name) {
                problems.push(format!("{path}: {label} names {name}, which is no test"));
            }
        }
    }
    if labels != expected {
        let missing: Vec<&String> = expected.iter().filter(|label| !labels.contains(label)).collect();
        let surplus: Vec<&String> = labels.iter().filter(|label| !expected.contains(label)).collect();
        problems.push(format!("{path}: the rows are not one for each label, in order; missing {missing:?}, unknown {surplus:?}"));
    }
    problems
}

/// The names of the functions that carry a test attribute: `#[test]`, `#[tokio::test(…)]`.
fn tests_in(text: &str) -> BTreeSet<String> {
    let tokens = tokens(&code_only(text));
    let mut found = BTreeSet::new();
    let mut marked = false;
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "#" && tokens.get(at + 1).is_some_and(|next| next == "[") {
            let mut end = at + 2;
            while end < tokens.len() && (is_name(&tokens[end]) || tokens[end] == "::") {
                end += 1;
            }
            marked |= tokens[end - 1] == "test" && tokens.get(end).is_some_and(|next| next == "]" || next == "(");
            at = end;
        } else if tokens[at] == "fn" {
            if marked && let Some(name) = tokens.get(at + 1) {
                found.insert(name.clone());
            }
            marked = false;
            at += 2;
        } else {
            at += 1;
        }
    }
    found
}

fn all_tests() -> BTreeSet<String> {
    sources().iter().flat_map(|(_, text)| tests_in(text)).collect()
}

/// R1 to R80, with R35b.
fn requirement_labels() -> Vec<String> {
    (1..=80).flat_map(|number| if number == 35 { vec!["R35".to_owned(), "R35b".to_owned()] } else { vec![format!("R{number}")] }).collect()
}

/// C01, C03, … C55: the even numbers are not used.
fn case_labels() -> Vec<String> {
    (1..=55).step_by(2).map(|number| format!("C{number:02}")).collect()
}

#[test]
fn every_requirement_has_a_row_and_every_test_it_names_exists() {
    assert_clean(&table_problems("docs/requirements.md", &read("docs/requirements.md"), &requirement_labels(), &all_tests()));
}

#[test]
fn every_case_has_a_row_and_every_test_it_names_exists() {
    assert_clean(&table_problems("docs/cases.md", &read("docs/cases.md"), &case_labels(), &all_tests()));
}

/// What a guide names that is not there: files between backticks, and lines of Rust in its examples (those that say something).
fn guide_problems(guide: &str, exists: impl Fn(&str) -> bool, sources: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for name in guide.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains([' ', '\n'])) {
        if !exists(name) {
            problems.push(format!("{name} is not there"));
        }
    }
    let examples = guide.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("rust\n"));
    for line in examples.flat_map(str::lines).map(str::trim).filter(|line| line.len() > 4) {
        if !sources.contains(line) {
            problems.push(format!("no source says {line}"));
        }
    }
    problems
}

#[test]
fn the_guide_to_adding_a_mutation_shows_what_is_there() {
    let sources: String = ["domain/src/token.rs", "src/app/token.rs", "src/graphql/token.rs", "tests/it/rights.rs"].map(read).concat();
    let guide = read("docs/adding-a-mutation.md");
    // Blocks of code are between backticks as well: three of them in a row leave the count of single ones even.
    assert_clean(&guide_problems(&guide, |name| root().join(name).exists(), &sources));
    let gone = "see `src/gone.rs` and `here`:\n```rust\nfn made_up() {}\n}\n```\n";
    assert_eq!(guide_problems(gone, |_| false, "").len(), 2, "it is not blind");
}

#[test]
fn a_row_that_names_no_test_or_a_made_up_one_is_reported() {
    let tests = tests_in(
        "#[test] fn real() {} #[tokio::test(flavor = \"x\")]\nasync fn also_real() {} #[cfg(test)] mod t { fn no_test() {} } // #[test] fn spoken_of() {}",
    );
    assert_eq!(tests.iter().map(String::as_str).collect::<Vec<_>>(), ["also_real", "real"]);
    let cases = [
        ("| R1 | words | built | `real`, `also_real` |", 0),
        ("| R1 | words | planned | |", 0),
        ("| R1 | words | built | `made_up` |", 1),
        ("| R1 | words | built | `no_test` |", 1),
        ("| R1 | words | built | |", 1),
        ("| R1 | words | in part | `real` |", 0),
        ("| R1 | words | in part | |", 1),
        ("| R1 | words | planned | `real` |", 1),
        ("| R1 | words | soon | |", 1),
        ("| R1 | | planned | |", 1),
        ("| R1 | words | planned |", 2),
        ("| R2 | words | planned | |", 1),
        ("no table", 1),
    ];
    for (row, wrong) in cases {
        let document = format!("| Number | Rule | Status | Tests |\n| --- | --- | --- | --- |\n{row}\n");
        let problems = table_problems("made-up", &document, &["R1".to_owned()], &tests);
        assert_eq!(problems.len(), wrong, "{row}\n{problems:#?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------------------
// The manners of every file
// ---------------------------------------------------------------------------------------------------------------------------------

/// Where the catalogue of real courses is looked for: beside the repository, for the tests and programs that use it when it is there.
const BESIDE_US: &[&str] = &["check", "tests/it/import.rs"];

/// Files that may speak of floats, with the reason: amounts, percentages and rates are whole numbers.
const FLOATS: &[(&str, &str)] = &[("src/http/metrics.rs", "the bounds of a histogram's buckets are seconds; no money is near")];

/// Words that no file holds. Each is put together here, so that this file does not hold them either.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const NEIGHBOUR: &str = concat!("../", "shared");

/// What is wrong with the words of any file of text.
fn word_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{path}:{}", number + 1);
        for word in UNFINISHED.iter().filter(|word| line.split(|c: char| !c.is_alphanumeric()).any(|part| part == **word)) {
            problems.push(format!("{place}: {word}: finish it, or leave it out"));
        }
        for word in MACHINE_PATHS.iter().filter(|word| line.contains(**word)) {
            problems.push(format!("{place}: {word} is a path of one machine"));
        }
        if line.contains(NEIGHBOUR) && !BESIDE_US.contains(&path) {
            problems.push(format!("{place}: {NEIGHBOUR}: the repository stands alone"));
        }
    }
    problems
}

/// What is wrong with one Rust file beside its words.
fn source_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//! ") {
        problems.push(format!("{path}: does not open with //! and what the file owns"));
    }
    if !path.contains("tests/") {
        let code = without_tests(&code_only(text));
        let tokens = tokens(&code);
        if tokens.iter().any(|token| token == "f32" || token == "f64") && !FLOATS.iter().any(|(file, _)| *file == path) {
            problems.push(format!("{path}: floats"));
        }
        if tokens.windows(4).any(|four| four == [".", "unwrap", "(", ")"]) {
            problems.push(format!("{path}: unwrap() outside of tests"));
        }
    }
    problems
}

/// Each dependency of a manifest says what it is for.
fn why_problems(path: &str, manifest: &str) -> Vec<String> {
    dependency_lines(manifest)
        .into_iter()
        .filter(|(_, _, line)| line.split_once('#').is_none_or(|(_, why)| why.trim().is_empty()))
        .map(|(_, name, _)| format!("{path}: {name} does not say what it is for"))
        .collect()
}

#[test]
fn no_file_holds_unfinished_work_or_a_path_of_one_machine() {
    assert_clean(&texts().iter().flat_map(|(path, text)| word_problems(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_source_file_opens_with_what_it_owns_and_holds_no_float_and_no_unwrap() {
    assert_clean(&sources().iter().flat_map(|(path, text)| source_problems(path, text)).collect::<Vec<_>>());
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let texts = texts();
    let manifests = texts.iter().filter(|(path, _)| path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    assert_clean(&manifests.flat_map(|(path, text)| why_problems(path, text)).collect::<Vec<_>>());
}

#[test]
fn a_forbidden_word_is_reported() {
    let cases = [
        ("src/a.rs", format!("// {}: later", UNFINISHED[0]), 1),
        ("docs/a.md", format!("see {}a and {}b", MACHINE_PATHS[0], MACHINE_PATHS[1]), 2),
        ("docs/a.md", format!("read {NEIGHBOUR}/SPEC.md"), 1),
        ("check", format!("[ -e {NEIGHBOUR}/data ]"), 0),
        ("docs/a.md", "a todo list is somebody's domain word; AUTODOC too".to_owned(), 0),
    ];
    for (path, text, wrong) in cases {
        let problems = word_problems(path, &text);
        assert_eq!(problems.len(), wrong, "{path}: {text}\n{problems:#?}");
    }
}

#[test]
fn a_file_without_manners_is_reported() {
    let cases = [
        ("src/a.rs", "//! What it owns.\nfn f() {}", 0),
        ("src/a.rs", "fn f() {}", 1),
        ("src/a.rs", "//! A.\nfn f(x: f64) -> f32 { x }", 1),
        ("src/a.rs", "//! A.\n/// Not an f64.\nfn f() { x.as_secs_f64() }", 0),
        ("src/a.rs", "//! A.\nfn f() { x.unwrap() }", 1),
        ("src/a.rs", "//! A.\nfn f() { x.unwrap_or(1) } // .unwrap()", 0),
        ("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests { fn f() { { x.unwrap() } } }\nfn g() {}", 0),
        ("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { x.unwrap() }", 1),
        ("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests;\nfn g() { x.unwrap() }", 1),
        ("tests/it/a.rs", "//! A.\nfn f() { x.unwrap() }", 0),
        ("tests/it/a.rs", "fn f() {}", 1),
    ];
    for (path, text, wrong) in cases {
        let problems = source_problems(path, text);
        assert_eq!(problems.len(), wrong, "{path}: {text}\n{problems:#?}");
    }
}

#[test]
fn a_dependency_without_a_reason_is_reported() {
    let manifest = "[workspace.dependencies]\na = \"1\"\n[dependencies]\nb = \"1\" # why\nc = \"1\"\nd = \"1\" #\n[dev-dependencies]\ne.workspace = true\n[lints]\nworkspace = true\n";
    let problems = why_problems("Cargo.toml", manifest);
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

// ---------------------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------------------

/// What holds nothing written by hand for this repository.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", "data"];

/// Every file of text: path from the repository's root, and text.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect("", &mut found);
    assert!(found.len() > 20, "the repository was not found at {}", root().display());
    found
}

fn sources() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn collect(folder: &str, found: &mut Vec<(String, String)>) {
    let mut names: Vec<_> = fs::read_dir(root().join(folder))
        .expect("a folder of the repository can be read")
        .map(|entry| entry.expect("an entry of a folder can be read"))
        .collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().expect("a file's type can be read");
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, found);
        } else if kind.is_file() && !name.ends_with(".lock") {
            // What is not UTF-8 is no text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push((path, text));
            }
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_clean(problems: &[String]) {
    assert!(problems.is_empty(), "{} to mend:\n{}", problems.len(), problems.join("\n"));
}

/// The same text with comments, strings and characters blanked, line by line where they were.
fn code_only(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < all.len() {
        let end = match all[at] {
            '/' if all.get(at + 1) == Some(&'/') => (at..all.len()).find(|&i| all[i] == '\n').unwrap_or(all.len()),
            '/' if all.get(at + 1) == Some(&'*') => end_of_comment(&all, at),
            '"' => end_of_string(&all, at),
            'r' if !follows_name(&all, at) => end_of_raw_string(&all, at + 1).unwrap_or(at),
            // A character, not a lifetime: it is closed after one character or one escape.
            '\'' if all.get(at + 1) == Some(&'\\') => (at + 3..all.len()).find(|&i| all[i] == '\'').map_or(all.len(), |i| i + 1),
            '\'' if all.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        if end == at {
            code.push(all[at]);
            at += 1;
        } else {
            code.extend(all[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Whether the character at `at` goes on with a name; `br"…"` does not.
fn follows_name(all: &[char], at: usize) -> bool {
    let name = |i: usize| all[i].is_alphanumeric() || all[i] == '_';
    at > 0 && name(at - 1) && !(all[at - 1] == 'b' && (at == 1 || !name(at - 2)))
}

fn end_of_comment(all: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < all.len() {
        match (all[at], all[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    all.len()
}

fn end_of_string(all: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < all.len() {
        match all[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    all.len()
}

/// The end of the raw string whose `#`s or quote stand at `start`, if there is one.
fn end_of_raw_string(all: &[char], start: usize) -> Option<usize> {
    let marks = all[start..].iter().take_while(|c| **c == '#').count();
    if all.get(start + marks) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| all[i] == '"' && all[i + 1..].iter().take_while(|c| **c == '#').count() >= marks;
    (start + marks + 1..all.len()).find(|&i| closes(i)).map(|i| i + 1 + marks)
}

/// The same code without what `#[cfg(test)]` stands before.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        let mut depth = 0usize;
        let end = rest.char_indices().find_map(|(i, c)| {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    return (depth == 0).then_some(i + 1);
                }
                ';' if depth == 0 => return Some(i + 1),
                _ => {}
            }
            None
        });
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    kept + rest
}
