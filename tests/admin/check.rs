//! `gatekeeper check`: summary of a valid configuration, or all its errors at once; never a secret.

use std::fs;

use super::CommandOutput;
use serde_json::json;

use crate::harness::process::{Gatekeeper, gatekeeper_command};
use crate::harness::upstream::Upstream;

fn check(toml: &str) -> CommandOutput {
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
fn check_valid_config_prints_summary_without_secrets() {
    let output = check(
        "[providers.openai]\napi_key = \"env:THE_KEY\"\n[providers.lan]\ntype = \"openai_compatible\"\n\
         base_url = \"http://10.0.0.5:8000/v1\"\nprice = { input = \"0.25\", output = \"1\" }\nmodels = [\"llama-4\", \"gpt-5.1\"]\n",
    );
    let output = output.assert_exit_code(0).assert_stdout(&[
        "not initialized",
        "openai",
        "list prices",
        "http://10.0.0.5:8000/v1",
        "$0.25 in, $1 out",
    ]);
    assert!(
        output
            .out
            .contains("gpt-5.1: openai/gpt-5.1 or lan/gpt-5.1")
            || output.out.contains("lan/gpt-5.1 or openai/gpt-5.1")
    );
    assert!(!output.out.contains("sk-canary") && !output.err.contains("sk-canary"));
}

#[test]
fn check_invalid_config_reports_every_error_with_line_and_remedy() {
    let output = check(
        "listen = \"everywhere\"\ntimezone = \"Mars/Olympus\"\nwrokers = 3\n[ledger]\nsync = \"never\"\n\
         [providers.openai]\napi_key = \"sk-canary-check-2\"\n[providers.lan]\ntype = \"openai_compatible\"\n",
    );
    let output = output.assert_exit_code(78).assert_stderr(&[
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
        !output.err.contains("sk-canary"),
        "credential from the file is in the output: {}",
        output.err
    );
}

#[test]
fn check_invalid_toml_reports_line() {
    check("listen = = 1\n")
        .assert_exit_code(78)
        .assert_stderr(&["gatekeeper.toml:1:", "invalid TOML"]);
}

#[test]
fn check_missing_credential_reports_variable() {
    check("[providers.openai]\napi_key = \"env:NO_SUCH_KEY\"\n")
        .assert_exit_code(78)
        .assert_stderr(&["gatekeeper.toml:2:", "NO_SUCH_KEY"]);
}

#[test]
fn check_zero_price_suggests_free() {
    let section = |price: &str| {
        format!(
            "[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"http://127.0.0.1:1\"\nmodels = [\"m\"]\nprice = {price}\n"
        )
    };
    let zeros = check(&section("{ input = \"0\", output = \"0.00\" }"));
    zeros.assert_exit_code(78).assert_stderr(&[
        "gatekeeper.toml:5:",
        "price: no rate above zero",
        "price = \"free\"",
    ]);
    check(&section("{ input = \"0\", output = \"0.01\" }")).assert_exit_code(0);
}

#[test]
fn check_fixed_price_without_models_is_a_remark_and_an_alias_of_the_cap_an_error() {
    let section = |more: &str| {
        format!(
            "[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"http://127.0.0.1:1/v1\"\nprice = {{ input = \"1\", output = \"5\" }}\n{more}"
        )
    };
    check(&section(""))
        .assert_exit_code(0)
        .assert_stdout(&["remark: price of provider lan applies to no model"]);
    let all = check(&section("models = [\"*\"]")).assert_exit_code(0);
    assert!(!all.out.contains("remark"), "{}", all.out);
    check(&section("takes = [\"n_predict\"]"))
        .assert_exit_code(78)
        .assert_stderr(&["gatekeeper.toml:5:", "another name of the output cap"]);
    let free = section("models = [\"*\"]").replace("{ input = \"1\", output = \"5\" }", "\"free\"");
    check(&free)
        .assert_exit_code(78)
        .assert_stderr(&["no effect without price"]);
}

#[test]
fn check_base_url_with_endpoint_is_an_error_and_without_path_a_remark() {
    let section = |kind: &str, base_url: &str| {
        format!(
            "[providers.p]\ntype = \"{kind}\"\nbase_url = \"{base_url}\"\napi_key = \"env:THE_KEY\"\n\
             price = \"free\"\nmodels = [\"m\"]\n"
        )
    };
    for (kind, base_url, path) in [
        (
            "openai_compatible",
            "http://10.0.0.5:8000/v1/chat/completions",
            "/chat/completions",
        ),
        ("openai", "https://llm.example/v1/responses/", "/responses"),
        ("anthropic", "https://llm.example/v1/messages", "/messages"),
    ] {
        check(&section(kind, base_url))
            .assert_exit_code(78)
            .assert_stderr(&["gatekeeper.toml:3:", "base_url", &format!("remove {path}")]);
    }
    for (kind, base_url, remark) in [
        (
            "openai_compatible",
            "http://10.0.0.5:8000",
            Some("usually needs /v1"),
        ),
        ("anthropic", "https://llm.example/", None),
        ("openai_compatible", "http://10.0.0.5:8000/v1", None),
        ("openai_compatible", "http://10.0.0.5:8000/inference", None),
        ("ollama_native", "http://10.0.0.5:11434", None),
    ] {
        let output = check(&section(kind, base_url)).assert_exit_code(0);
        assert_eq!(
            output
                .out
                .contains("remark: base_url of provider p has no path"),
            remark.is_some(),
            "{}",
            output.out
        );
        assert!(
            output.out.contains(remark.unwrap_or_default()),
            "{}",
            output.out
        );
    }
}

#[test]
fn check_base_url_of_a_known_type_is_shown_with_the_version_of_its_api() {
    for (kind, written, shown) in [
        ("openai", "https://llm.example", "https://llm.example/v1 "),
        (
            "openai",
            "https://llm.example/v1/",
            "https://llm.example/v1 ",
        ),
        ("mistral", "https://llm.example", "https://llm.example/v1 "),
        (
            "ollama_native",
            "http://10.0.0.5:11434/v1",
            "http://10.0.0.5:11434 ",
        ),
        (
            "azure",
            "https://r.openai.azure.com/openai/v1/",
            "https://r.openai.azure.com ",
        ),
    ] {
        let output = check(&format!(
            "[providers.p]\ntype = \"{kind}\"\nbase_url = \"{written}\"\napi_key = \"env:THE_KEY\"\n\
             price = \"free\"\nmodels = [\"m\"]\n"
        ));
        output.assert_exit_code(0).assert_stdout(&[shown]);
    }
}

#[test]
fn check_names_ambiguous_models_until_one_provider_has_no_bare_names() {
    let config = |more: &str| {
        format!(
            "[providers.openai]\napi_key = \"env:THE_KEY\"\n[providers.azure]\n\
             base_url = \"https://r.openai.azure.com\"\napi_key = \"env:THE_KEY\"\n{more}"
        )
    };
    check(&config("")).assert_exit_code(0).assert_stdout(&[
        "ambiguous model names (",
        "set bare_names = false for all but one of the providers",
        "gpt-4.1: ",
    ]);
    let output = check(&config("bare_names = false\n")).assert_exit_code(0);
    assert!(!output.out.contains("ambiguous"), "{}", output.out);
    check(&config("bare_names = \"no\"\n"))
        .assert_exit_code(78)
        .assert_stderr(&["gatekeeper.toml:6:", "write true or false"]);
}

#[test]
fn check_without_providers_fails() {
    check("listen = \"127.0.0.1:4001\"\n")
        .assert_exit_code(1)
        .assert_stdout(&["127.0.0.1:4001"])
        .assert_stderr(&["no providers configured", "[providers.NAME]"]);
}

#[test]
fn check_key_in_quotes_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("key");
    for key in ["\"sk-canary-check-3\"\n", "'sk-canary-check-3'"] {
        fs::write(&file, key).expect("a key can be written");
        let source = file.display();
        let output = check(&format!(
            "[providers.openai]\napi_key = \"file:{source}\"\n"
        ));
        let output = output
            .assert_exit_code(78)
            .assert_stderr(&["gatekeeper.toml:2:", "is in quotes"]);
        assert!(!output.err.contains("sk-canary"), "{}", output.err);
    }
}

#[test]
fn check_remarks_on_patterns_that_match_nothing_and_keys_outside_their_team() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng", "models": ["m-small", "claude-*"]}));
    for (name, models) in [
        ("good", json!(["m-*"])),
        ("typo", json!(["m-smal"])),
        ("outside", json!(["m-large"])),
        ("unlisted", json!(["up/anything"])),
    ] {
        gatekeeper.key(&json!({"name": name, "team": team.id, "models": models}));
    }
    let config = gatekeeper.config.to_str().expect("a path").to_owned();
    let output: CommandOutput = gatekeeper.run(&["check", "--config", &config]).into();
    let output = output.assert_exit_code(0).assert_stdout(&[
        "remark: `claude-*` in the models of team eng matches no model",
        "remark: `m-smal` in the models of key eng/typo matches no model",
        "remark: `m-large` in the models of key eng/outside is outside those of team eng",
    ]);
    for quiet in ["eng/good", "eng/unlisted matches no"] {
        assert!(!output.out.contains(quiet), "{}", output.out);
    }
    let priced = check(
        "[providers.p]\ntype = \"openai_compatible\"\nbase_url = \"http://10.0.0.5:8000/v1\"\nprice = \"free\"\n\
         models = [\"m\"]\n[providers.p.prices.\"mistral-*\"]\ninput = \"1\"\noutput = \"2\"\n",
    );
    priced
        .assert_exit_code(0)
        .assert_stdout(&["remark: price for `mistral-*` of provider p applies to none"]);
}

#[test]
fn check_plain_listener_beyond_loopback_is_a_remark() {
    let settings = "[providers.openai]\napi_key = \"env:THE_KEY\"\n";
    for (listen, is_remark) in [("0.0.0.0:4000", true), ("127.0.0.1:4000", false)] {
        let checked = check(&format!("listen = \"{listen}\"\n{settings}"));
        let checked = checked.assert_exit_code(0);
        let said = checked
            .out
            .contains("reachable from other machines without TLS");
        assert_eq!(said, is_remark, "{listen}: {}", checked.out);
    }
}
