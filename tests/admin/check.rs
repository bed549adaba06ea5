//! `gatekeeper check`: what a configuration comes to, or everything that is wrong with it at once.

use std::fs;

use super::Said;
use crate::harness::process::gatekeeper_command;

fn check(toml: &str) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("gatekeeper.toml"), toml).expect("the config can be written");
    let mut command = gatekeeper_command();
    command
        .current_dir(folder.path())
        .arg("check")
        .env("THE_KEY", "sk-canary-check-1");
    command.output().expect("the binary runs").into()
}

#[test]
fn a_good_configuration_is_shown_without_its_secrets() {
    let said = check(
        "[providers.openai]\napi_key = \"env:THE_KEY\"\n[providers.lan]\ntype = \"openai_compatible\"\n\
         base_url = \"http://10.0.0.5:8000/v1\"\nprice = { input = \"0.25\", output = \"1\" }\nmodels = [\"llama-4\", \"gpt-5.1\"]\n",
    );
    let said = said.ends(0).says(&[
        "not initialized",
        "openai",
        "list prices",
        "http://10.0.0.5:8000/v1",
        "$0.25 in, $1 out",
    ]);
    assert!(
        said.out.contains("gpt-5.1: openai/gpt-5.1 or lan/gpt-5.1")
            || said.out.contains("lan/gpt-5.1 or openai/gpt-5.1")
    );
    assert!(!said.out.contains("sk-canary") && !said.err.contains("sk-canary"));
}

#[test]
fn every_fault_is_named_with_its_line_and_remedy_at_once() {
    let said = check(
        "listen = \"everywhere\"\ntimezone = \"Mars/Olympus\"\nwrokers = 3\n[ledger]\nsync = \"never\"\n\
         [providers.openai]\napi_key = \"sk-canary-check-2\"\n[providers.lan]\ntype = \"openai_compatible\"\n",
    );
    let said = said.ends(78).complains(&[
        "gatekeeper.toml:1:",
        "everywhere",
        "gatekeeper.toml:2:",
        "Mars/Olympus",
        "gatekeeper.toml:3:",
        "wrokers",
        "gatekeeper.toml:5:",
        "gatekeeper.toml:7:",
        "gatekeeper.toml:8:",
        "base_url",
    ]);
    assert!(
        !said.err.contains("sk-canary"),
        "a key that was pasted into the file is not repeated: {}",
        said.err
    );
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line() {
    check("listen = = 1\n")
        .ends(78)
        .complains(&["gatekeeper.toml:1:", "invalid TOML"]);
}

#[test]
fn a_credential_that_is_not_there_is_said() {
    check("[providers.openai]\napi_key = \"env:NO_SUCH_KEY\"\n")
        .ends(78)
        .complains(&["gatekeeper.toml:2:", "NO_SUCH_KEY"]);
}

#[test]
fn a_price_of_nothing_is_called_free() {
    let section = |price: &str| {
        format!(
            "[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"http://127.0.0.1:1\"\nmodels = [\"m\"]\nprice = {price}\n"
        )
    };
    let zeros = check(&section("{ input = \"0\", output = \"0.00\" }"));
    zeros.ends(78).complains(&[
        "gatekeeper.toml:5:",
        "price: no rate above zero",
        "price = \"free\"",
    ]);
    check(&section("{ input = \"0\", output = \"0.01\" }")).ends(0);
}
