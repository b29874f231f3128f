//! `bursar adapter new`: begins the crate of a payment gateway, and registers it. docs/adding-a-payment-adapter.md goes on from there.
//!
//! Always true here: nothing that exists is written over, and nothing is written unless all of it can be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// Where the list of gateways goes on, in the manifest and in the program.
const NEXT: &str = "Above this line `bursar adapter new` adds the next";

/// The files of a new crate, and what they begin as. `gatewayname`, `GatewayName` and `GATEWAYNAME` stand for the name.
const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("adapter/manifest.txt")),
    ("README.md", include_str!("adapter/readme.txt")),
    ("src/lib.rs", include_str!("adapter/lib.txt")),
    ("tests/gatewayname.rs", include_str!("adapter/test.txt")),
];

/// Begins `adapters/NAME` in the repository at `root`; gives the files that were written.
///
/// # Errors
/// The name cannot be one, is taken, or the place is no repository of Bursar's.
pub fn begin(root: &Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    check(name)?;
    let crate_dir = root.join("adapters").join(name);
    let read = |path: &str| {
        let file = root.join(path);
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read: run this in the repository of Bursar", file.display()))
    };
    let (manifest, program) = (read("Cargo.toml")?, read("src/main.rs")?);
    ensure!(!crate_dir.exists(), "{} is there already", crate_dir.display());
    ensure!(
        manifest.lines().all(|line| line.split('=').next().map(str::trim) != Some(name)),
        "{name:?} is the name of a crate that is used already; choose another"
    );

    let entry = format!("{name} = {{ path = \"adapters/{name}\", package = \"bursar-{name}\" }}");
    let manifest = before_next(&manifest, &entry).context("Cargo.toml")?;
    let used = format!("[dependencies]\n{name} = {{ workspace = true }} # gateway: {}", camel(name));
    ensure!(manifest.contains("\n[dependencies]\n"), "Cargo.toml: has no [dependencies]");
    let manifest = manifest.replacen("[dependencies]", &used, 1);
    let program = before_next(&program, &format!("Arc::new({name}::{}Factory),", camel(name))).context("src/main.rs")?;

    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (path, text) in FILES {
        let text =
            text.replace("gatewayname", name).replace("GatewayName", &camel(name)).replace("GATEWAYNAME", &name.to_ascii_uppercase());
        files.insert(crate_dir.join(path.replace("gatewayname", name)), text);
    }
    files.insert(root.join("Cargo.toml"), manifest);
    files.insert(root.join("src/main.rs"), program);
    for (path, text) in &files {
        fs::create_dir_all(path.parent().unwrap_or(root))
            .and_then(|()| fs::write(path, text))
            .with_context(|| path.display().to_string())?;
    }
    Ok(files.into_keys().collect())
}

/// Crates, folders and ids of gateways are named like this.
fn check(name: &str) -> anyhow::Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !plain || !begins || !(2..=30).contains(&name.len()) || name.ends_with('_') || name.contains("__") {
        bail!("{name:?} is no name for an adapter; write 2 to 30 small letters, digits and single underscores, a letter first");
    }
    const KEYWORDS: &str = "as async await box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop macro match \
                            mod move mut priv pub ref return self static struct super trait true try type typeof unsafe unsized use virtual where \
                            while yield abstract become override core std alloc test bursar";
    ensure!(!KEYWORDS.split_whitespace().any(|word| word == name), "{name:?} is a word of the language or of the library; choose another");
    Ok(())
}

/// `text` with `line` before the mark, as far indented as it.
fn before_next(text: &str, line: &str) -> anyhow::Result<String> {
    let at = text.find(NEXT).with_context(|| format!("the line \"{NEXT} …\" is missing"))?;
    let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let indent: String = text[begin..at].chars().take_while(|letter| *letter == ' ').collect();
    Ok(format!("{}{indent}{line}\n{}", &text[..begin], &text[begin..]))
}

/// `acme_pay` as `AcmePay`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace.dependencies]\nmanual = { path = \"adapters/manual\" }\n# Above this line `bursar adapter new` adds the next gateway.\n\n\
                            anyhow = \"1\"\n\n[dependencies]\nanyhow = { workspace = true } # errors\n";
    const PROGRAM: &str = "fn main() {\n    let factories = vec![\n        Arc::new(manual::ManualFactory),\n        // Above this line `bursar adapter \
                           new` adds the next one.\n    ];\n}\n";

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("src")).expect("a directory");
        fs::create_dir_all(root.path().join("adapters/manual")).expect("a directory");
        fs::write(root.path().join("Cargo.toml"), MANIFEST).expect("a file");
        fs::write(root.path().join("src/main.rs"), PROGRAM).expect("a file");
        root
    }

    #[test]
    fn a_new_adapter_is_a_crate_with_a_place_in_the_program() {
        let root = repository();
        let written = begin(root.path(), "acme_pay").expect("it begins");
        assert_eq!(written.len(), 6);
        let read = |path: &str| fs::read_to_string(root.path().join(path)).expect(path);
        let manifest = read("Cargo.toml");
        assert!(manifest.contains("acme_pay = { path = \"adapters/acme_pay\", package = \"bursar-acme_pay\" }\n# Above"), "{manifest}");
        assert!(manifest.contains("[dependencies]\nacme_pay = { workspace = true } # gateway: AcmePay\nanyhow"), "{manifest}");
        let program = read("src/main.rs");
        assert!(program.contains("ManualFactory),\n        Arc::new(acme_pay::AcmePayFactory),\n        // Above"), "{program}");
        assert!(read("adapters/acme_pay/src/lib.rs").contains("pub struct AcmePay {"));
        assert!(read("adapters/acme_pay/tests/acme_pay.rs").contains("use bursar_acme_pay::{AcmePay, AcmePayFactory};"));
        for path in ["Cargo.toml", "README.md", "src/lib.rs", "tests/acme_pay.rs"] {
            let text = read(&format!("adapters/acme_pay/{path}"));
            assert!(!text.to_ascii_lowercase().contains("gatewayname"), "{path}: {text}");
        }
    }

    #[test]
    fn what_cannot_begin_changes_nothing() {
        let root = repository();
        let all = |root: &Path| {
            (fs::read_to_string(root.join("Cargo.toml")).expect("a file"), fs::read_dir(root.join("adapters")).expect("a folder").count())
        };
        let before = all(root.path());
        for name in
            ["", "a", "Acme", "acme-pay", "9acme", "acme_", "a__b", "../evil", "match", "bursar", "manual", "anyhow", &"a".repeat(31)]
        {
            assert!(begin(root.path(), name).is_err(), "{name}");
        }
        assert_eq!(all(root.path()), before);
        let elsewhere = tempfile::tempdir().expect("a directory");
        let error = begin(elsewhere.path(), "acme").expect_err("no repository");
        assert!(format!("{error:#}").contains("in the repository of Bursar"), "{error:#}");
    }
}
