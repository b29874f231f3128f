//! README.md does what it says: its blocks are run, its tables compared with the program.

use std::collections::BTreeMap;
use std::process::Command;

use bursar::cli::Cli;
use bursar::config::{self, Configuration};
use clap::CommandFactory;
use serde_json::{Value, json};

use crate::process::{Place, bearer, text};

const README: &str = include_str!("../../README.md");

/// The blocks of one language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

/// The rows of the table under a heading whose first column is `head`, cells without their backquotes.
fn table(head: &str) -> Vec<Vec<String>> {
    let first = format!("| {head} |");
    let lines = README.lines().skip_while(|line| !line.starts_with(&first)).take_while(|line| line.starts_with('|')).skip(2);
    // A bar inside a cell is written with a backslash.
    let cells = |line: &str| {
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').replace('\u{0}', "|")).collect()
    };
    lines.map(cells).collect()
}

/// The walk: each GraphQL block in the order of the text, as whom the text says, ends with a course that is open.
#[tokio::test]
async fn the_walk_of_the_readme_ends_with_an_open_course() {
    let place = Place::new().await;
    let server = place.serve(&["--seed", "demo"]).await;
    let [look, create, buyer, order, learn] = blocks("graphql")[..] else { panic!("five calls, not {}", blocks("graphql").len()) };

    let found = server.ok(&[], look, json!({})).await;
    let path = json!({ "amount": "149.00", "currency": "USD" });
    let offers = found["offers"]["nodes"].as_array().expect("a list");
    assert!(offers.iter().any(|offer| offer["sku"] == "RUST-PATH" && offer["price"] == path), "{found:#}");

    let made = server.ok(&[], create, json!({})).await["cartCreate"].clone();
    assert_eq!(made["cart"]["total"], path);
    let secret = [("Cart-Secret", made["secret"].as_str().expect("a secret"))];
    let cart = json!({ "cart": made["cart"]["id"] });

    let ready = server.ok(&secret, buyer, cart.clone()).await["cartBuyerSet"]["cart"].clone();
    assert_eq!(ready["readiness"]["ready"], true, "{ready:#}");
    assert_eq!(ready["paymentMethods"], json!([{ "gateway": "sandbox" }, { "gateway": "manual" }]));

    let placed = server.ok(&secret, order, cart).await["orderPlace"]["order"].clone();
    assert_eq!(placed["status"], "FULFILLED", "{placed:#}");
    let receipt = &placed["receipt"];
    assert_eq!(receipt["lines"][0]["title"], "The Rust path");
    let link = receipt["signInUrl"].as_str().expect("a link").strip_prefix(&server.url).expect("an address of the shop").to_owned();
    assert_eq!(server.get(&link).await.status(), 200);

    let token = link.rsplit('/').next().expect("its last part");
    let redeem = "mutation($input: AccountLinkRedeemInput!) { accountLinkRedeem(input: $input) { token userErrors { code } } }";
    let redeemed = server.ok(&[], redeem, json!({ "input": { "token": token } })).await;
    let learner = bearer(redeemed["accountLinkRedeem"]["token"].as_str().expect("a sign-in"));
    let mine = server.ok(&[("Authorization", &learner)], learn, json!({})).await;
    let titles: Vec<&Value> = mine["me"]["courses"]["nodes"].as_array().expect("a list").iter().map(|course| &course["title"]).collect();
    // The path opens its courses one after the other.
    assert_eq!(titles, ["Rust from the first line"], "{mine:#}");
    assert_eq!(mine["orders"]["nodes"][0]["number"], placed["number"]);
    server.stop().await;
}

/// What is to be typed into a shell works there, against the address of this server.
#[tokio::test]
async fn the_shell_blocks_of_the_readme_work() {
    let place = Place::new().await;
    let server = place.serve(&["--seed", "demo"]).await;
    let blocks = blocks("bash");
    assert!(!blocks.is_empty());
    for block in blocks {
        let script = block.replace("http://127.0.0.1:8080", &server.url);
        let run = move || Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output();
        let output = tokio::task::spawn_blocking(run).await.expect("it is waited for").expect("bash is there");
        assert!(output.status.success(), "{block}\n{}", text(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)));
        assert!(answer["data"].is_object() && answer.get("errors").is_none(), "{answer:#}");
    }
    server.stop().await;
}

/// Every setting is in the table with its variable and default, and nothing else is.
#[test]
fn the_settings_table_and_the_program_agree() {
    let told: BTreeMap<String, (String, String)> = table("key")
        .into_iter()
        .map(|row| {
            let [key, variable, default, what] = &row[..] else { panic!("four cells: {row:?}") };
            assert!(!what.is_empty(), "{key} is not explained");
            (key.clone(), (variable.clone(), default.clone()))
        })
        .collect();
    let known: BTreeMap<String, (String, String)> = config::keys()
        .into_iter()
        .map(|key| (key.name, (key.variable.unwrap_or_default().to_owned(), key.default.unwrap_or_default())))
        .collect();
    let missing: Vec<_> = known.iter().filter(|(key, told_as)| told.get(*key) != Some(told_as)).collect();
    let surplus: Vec<_> = told.keys().filter(|key| !known.contains_key(*key)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "to write into README.md: {missing:#?}\nunknown there: {surplus:#?}");
}

/// The examples of a settings file are ones that the program takes.
#[test]
fn the_settings_files_of_the_readme_are_taken() {
    let files = blocks("toml");
    assert!(!files.is_empty());
    for file in files {
        Configuration::parse(file).unwrap_or_else(|mistakes| panic!("{file}\n{mistakes}"));
    }
}

/// Every command is in the table with the arguments that the table gives it, and nothing else is.
#[test]
fn the_commands_table_and_the_program_agree() {
    let mut program = Cli::command();
    program.build();
    let mut told: Vec<String> = Vec::new();
    for row in table("command") {
        let mut words = row[0].split_whitespace().skip(1);
        let Some(name) = words.next() else { continue };
        told.push(name.to_owned());
        let mut command = program.find_subcommand(name).unwrap_or_else(|| panic!("there is no {name}"));
        for word in words.map(|word| word.trim_matches(['[', ']'])) {
            if let Some(option) = word.strip_prefix("--") {
                assert!(command.get_arguments().any(|known| known.get_long() == Some(option)), "{name} has no --{option}");
            } else if word.starts_with(|letter: char| letter.is_lowercase()) {
                // Subcommands, or the values of the option before.
                let parts: Vec<&str> = word.split('|').collect();
                if parts.iter().all(|part| command.find_subcommand(part).is_some()) {
                    command = command.find_subcommand(parts[0]).expect("it was found");
                }
            }
        }
    }
    told.sort();
    told.dedup();
    let mut known: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help").collect();
    known.sort_unstable();
    assert_eq!(told, known);
}
