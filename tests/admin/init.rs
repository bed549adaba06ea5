//! First commands: `init` once per folder, and a remedy for every command that runs too early.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::CommandOutput;
use crate::harness::process::gatekeeper_command;

fn run(folder: &Path, arguments: &[&str]) -> CommandOutput {
    gatekeeper_command()
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the binary runs")
        .into()
}

#[test]
fn init_second_run_is_refused_and_folder_is_private() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(folder.path(), &["init"])
        .assert_exit_code(0)
        .assert_stdout(&["gatekeeper-data", "shown only now", "gatekeeper serve"]);
    let key = output.word_with_prefix("sk-gk-master-");
    let mode = fs::metadata(folder.path().join("gatekeeper-data"))
        .expect("the folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let again = run(folder.path(), &["init"])
        .assert_exit_code(1)
        .assert_stderr(&["already initialized", "gatekeeper serve"]);
    assert!(!again.err.contains(&key) && again.out.is_empty());
}

#[test]
fn init_nonempty_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("photos")).expect("a folder");
    fs::write(folder.path().join("photos/1.jpg"), "me").expect("a file");
    run(folder.path(), &["init", "--data", "photos"])
        .assert_exit_code(78)
        .assert_stderr(&["photos", "not empty", "--data"]);
    assert_eq!(
        fs::read_dir(folder.path().join("photos"))
            .expect("the folder")
            .count(),
        1
    );
}

#[test]
fn serve_uninitialised_folder_suggests_init() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path(), &["serve"])
        .assert_exit_code(78)
        .assert_stderr(&["not initialized", "gatekeeper init --data"]);
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "folder stays empty"
    );
}

#[test]
fn command_without_server_suggests_serve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path(), &["init"]).assert_exit_code(0);
    for arguments in [
        &["keys", "create", "--team", "eng"][..],
        &["keys", "list"],
        &["usage"],
        &["verify", "sk-gk-x"],
    ] {
        run(folder.path(), arguments)
            .assert_exit_code(1)
            .assert_stderr(&["no server reachable", "gatekeeper serve"]);
    }
}

#[test]
fn command_invalid_argument_exits_2_with_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in [&["keys", "create"][..], &["keys", "create", "--team", ""]] {
        run(folder.path(), arguments)
            .assert_exit_code(2)
            .assert_stderr(&["--team", "--parent", "--admin"]);
    }
    for command in [
        &["keys", "create", "--team", "eng"][..],
        &["teams", "create", "eng"],
    ] {
        run(folder.path(), &[command, &["--budget", "-5"]].concat())
            .assert_exit_code(2)
            .assert_stderr(&["invalid amount"]);
        run(folder.path(), &[command, &["--rpm", "0"]].concat())
            .assert_exit_code(2)
            .assert_stderr(&["a whole number from 1"]);
        run(folder.path(), &[command, &["--tpm", "-3"]].concat())
            .assert_exit_code(2)
            .assert_stderr(&["a whole number from 1"]);
    }
    run(
        folder.path(),
        &["keys", "create", "--team", "eng", "--budget", "0"],
    )
    .assert_exit_code(2)
    .assert_stderr(&["single quotes", "'$10'"]);
    run(
        folder.path(),
        &["keys", "create", "--team", "eng", "--budget", "$5/year"],
    )
    .assert_exit_code(2)
    .assert_stderr(&["'$10/month'"]);
    run(
        folder.path(),
        &["keys", "create", "--team", "eng", "--expires", "soon"],
    )
    .assert_exit_code(2)
    .assert_stderr(&["7d"]);
    run(folder.path(), &["serve", "--listen", "everywhere"])
        .assert_exit_code(78)
        .assert_stderr(&["127.0.0.1:4000"]);
}
