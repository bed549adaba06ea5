//! Commands of an administrator's day: owners by name, budgets set and raised, tables that fit, errors that name the flag.

use serde_json::json;

use super::CommandOutput;
use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

fn run(gatekeeper: &Gatekeeper, line: &str) -> CommandOutput {
    let arguments: Vec<&str> = line.split(' ').collect();
    gatekeeper.run(&arguments).into()
}

#[test]
fn budget_is_set_raised_and_removed_by_the_name_of_its_owner() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "support"}));
    let key = gatekeeper.key_of(&team);
    run(&gatekeeper, "budgets list").assert_stdout(&["no budgets yet", "budgets set"]);
    run(&gatekeeper, "budgets set support $0.0001/month")
        .assert_exit_code(0)
        .assert_stdout(&[
            "set budget bud_",
            "of team support: $0.0001/month, $0.00 spent",
        ]);
    let call = Call::chat().at_most(400).body();
    let message = gatekeeper
        .user(&key)
        .chat(&call)
        .assert_status(402)
        .error_message();
    assert!(
        message.contains("team support has used $0.00 of its $0.0001 monthly budget"),
        "{message}"
    );
    let command = message.split('`').nth(1).expect("a command");
    let command = command.replace("gatekeeper ", "").replace("AMOUNT", "+$5");
    run(&gatekeeper, &command)
        .assert_exit_code(0)
        .assert_stdout(&["raised budget bud_", "$5.00/month"]);
    gatekeeper.user(&key).chat(&call).assert_status(200);
    run(&gatekeeper, "budgets raise support $1")
        .assert_exit_code(2)
        .assert_stderr(&["limit of $5.0001 already"]);
    run(&gatekeeper, "budgets list").assert_stdout(&[
        "team support",
        "$5.00/month",
        "░░░░░░░░   0%",
        "UTC",
    ]);
    run(&gatekeeper, "budgets remove support").assert_stdout(&["removed budget bud_"]);
    run(&gatekeeper, "budgets list").assert_stdout(&["no budgets yet"]);
}

#[test]
fn key_is_changed_by_name_and_shows_what_it_inherits() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    run(
        &gatekeeper,
        "teams create eng --models m-* --budget $10/month",
    )
    .assert_exit_code(0);
    run(&gatekeeper, "keys create --team eng --name laptop").assert_exit_code(0);
    run(&gatekeeper, "keys list").assert_stdout(&[
        "eng/laptop",
        "active",
        "m-* (team)",
        "$10.00/month (team)",
        "ENDS",
    ]);
    run(
        &gatekeeper,
        "keys update lap --models m-small --rpm 60 --expires 7d",
    )
    .assert_exit_code(0)
    .assert_stdout(&["changed key laptop", "m-small", "60 requests per minute"]);
    run(&gatekeeper, "keys update laptop --expires never --rpm none")
        .assert_stdout(&["limits   none", "expires  never"]);
    run(&gatekeeper, "keys disable eng/laptop").assert_exit_code(0);
    run(&gatekeeper, "keys list --state disabled").assert_stdout(&["eng/laptop", "disabled"]);
    run(&gatekeeper, "keys enable laptop").assert_stdout(&["enabled key laptop"]);
    run(&gatekeeper, "teams update eng --models all --no-budgets")
        .assert_stdout(&["models   all", "budgets  none"]);
    run(
        &gatekeeper,
        "organizations update default --budget $100/month",
    )
    .assert_stdout(&["changed organization default", "$100.00/month"]);
    run(&gatekeeper, "keys list").assert_stdout(&["$100.00/month (organization)"]);
}

#[test]
fn quiet_prints_ids_and_deletion_with_yes_takes_dependents() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let quiet = |line: &str| {
        let output = run(&gatekeeper, &format!("{line} -q")).assert_exit_code(0);
        output.out.trim_end().to_owned()
    };
    let acme = quiet("organizations create acme --models m-*");
    assert!(acme.starts_with("org_"), "{acme}");
    let team = quiet("teams create eng --organization acme");
    let secret = quiet("keys create --team eng --name ci");
    assert!(secret.starts_with("sk-gk-") && !secret.contains(char::is_whitespace));
    assert_eq!(quiet("teams list"), team);
    let key = quiet("keys list");
    assert_eq!(quiet("keys update ci --rpm 9"), key);
    let user = quiet("users create ada@example.org --role member --team eng");
    assert_eq!(quiet("users list"), user);
    run(&gatekeeper, "organizations list").assert_stdout(&["acme", "m-*"]);
    run(&gatekeeper, "organizations update acme --models all").assert_stdout(&["models   all"]);
    run(&gatekeeper, "teams delete eng")
        .assert_exit_code(1)
        .assert_stderr(&["would be deleted with it", "--yes"]);
    run(&gatekeeper, "teams delete eng --yes")
        .assert_exit_code(0)
        .assert_stdout(&["deleted team eng (team_"]);
    assert_eq!(quiet("keys list"), "");
    assert_eq!(quiet("organizations delete acme"), "");
    run(&gatekeeper, "organizations list --json").assert_stdout(&["default"]);
}

#[test]
fn error_names_the_typed_flag_and_the_call_only_with_verbose() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    run(&gatekeeper, "keys create --team eng --name laptop").assert_exit_code(0);
    let past = "keys update laptop --expires 2020-01-01T00:00:00Z";
    let short = run(&gatekeeper, past)
        .assert_exit_code(1)
        .assert_stderr(&["--expires must be in the future"]);
    assert!(!short.err.contains("/v1/keys"), "{}", short.err);
    run(&gatekeeper, &format!("{past} --verbose")).assert_stderr(&["(PATCH /v1/keys/key_"]);
    run(&gatekeeper, "keys update laptop")
        .assert_exit_code(2)
        .assert_stderr(&["--models"]);
    run(&gatekeeper, "keys disabel laptop")
        .assert_exit_code(2)
        .assert_stderr(&["'disable'"]);
}

#[test]
fn usage_of_a_month_has_names_in_csv_and_a_mark_for_excel() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let key = gatekeeper.key_of(&team);
    gatekeeper
        .user(&key)
        .chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    let four = run(
        &gatekeeper,
        "usage --group-by team,key,model,provider,day --since 1h",
    );
    four.assert_exit_code(0)
        .assert_stdout(&["TEAM", "PROVIDER", "DAY", "eng", "total"]);
    let csv = run(&gatekeeper, "usage --group-by team --excel").assert_exit_code(0);
    assert!(
        csv.out.starts_with("\u{feff}team,team_name,requests"),
        "{}",
        csv.out
    );
    csv.assert_stdout(&[",eng,1,"]);
    run(&gatekeeper, "usage --last-month").assert_stdout(&["no usage from 1 "]);
    let browser = gatekeeper.admin().get("/v1/usage?group_by=team&format=csv");
    assert!(
        browser
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/csv"))
    );
    gatekeeper
        .admin()
        .get("/v1/usage?format=pdf")
        .assert_status(400);
}

#[test]
fn requests_are_listed_by_filter_and_cost_and_the_last_one_is_explained() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng", "models": ["m-small"]}));
    let key = gatekeeper.key_of(&team);
    run(&gatekeeper, "requests list").assert_stdout(&["no requests found"]);
    run(&gatekeeper, "requests explain --last")
        .assert_exit_code(1)
        .assert_stderr(&["no request yet"]);
    let user = gatekeeper.user(&key);
    let mut refused = Call::chat().at_most(30).body();
    refused["model"] = json!("m-large");
    user.chat(&refused).assert_status(403);
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    run(&gatekeeper, "requests list --since 1h")
        .assert_exit_code(0)
        .assert_stdout(&[
            "eng/",
            "up/m-small",
            "model_not_allowed",
            "m-large",
            "requests explain req_",
        ]);
    let failed = run(&gatekeeper, "requests list --team eng --status refused");
    assert!(!failed.out.contains("up/m-small"), "{}", failed.out);
    let dearest =
        run(&gatekeeper, "requests list --top-cost --limit 1").assert_stdout(&["up/m-small"]);
    assert!(!dearest.out.contains("m-large"), "{}", dearest.out);
    run(&gatekeeper, "requests explain --last")
        .assert_exit_code(0)
        .assert_stdout(&["served   up/m-small", "cost"]);
}

#[test]
fn completions_are_printed_without_a_server() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    for shell in ["bash", "zsh", "fish"] {
        let output: CommandOutput = gatekeeper.run(&["completions", shell]).into();
        output
            .assert_exit_code(0)
            .assert_stdout(&["gatekeeper", "budgets"]);
    }
}
