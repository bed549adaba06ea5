//! The first minutes: set up once, and every wrong order of the first commands says what to do instead.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Said;
use crate::harness::process::gatekeeper_command;

fn runs(folder: &Path, arguments: &[&str]) -> Said {
    gatekeeper_command()
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the binary runs")
        .into()
}

#[test]
fn a_folder_is_set_up_once_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = runs(folder.path(), &["init"]).ends(0).says(&[
        "gatekeeper-data",
        "shown only now",
        "gatekeeper serve",
    ]);
    let key = said.as_str("sk-gk-master-");
    let mode = fs::metadata(folder.path().join("gatekeeper-data"))
        .expect("the folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let again = runs(folder.path(), &["init"])
        .ends(1)
        .complains(&["already initialized", "gatekeeper serve"]);
    assert!(!again.err.contains(&key) && again.out.is_empty());
}

#[test]
fn a_folder_with_other_things_in_it_is_not_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("photos")).expect("a folder");
    fs::write(folder.path().join("photos/1.jpg"), "me").expect("a file");
    runs(folder.path(), &["init", "--data", "photos"])
        .ends(78)
        .complains(&["photos", "not empty", "--data"]);
    assert_eq!(
        fs::read_dir(folder.path().join("photos"))
            .expect("the folder")
            .count(),
        1
    );
}

#[test]
fn serving_a_folder_that_was_never_set_up_names_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runs(folder.path(), &["serve"])
        .ends(78)
        .complains(&["not initialized", "gatekeeper init --data"]);
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "nothing was made"
    );
}

#[test]
fn commands_without_a_server_say_that_there_is_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runs(folder.path(), &["init"]).ends(0);
    for arguments in [
        &["keys", "create", "--team", "eng"][..],
        &["keys", "list"],
        &["usage"],
        &["verify", "sk-gk-x"],
    ] {
        runs(folder.path(), arguments)
            .ends(1)
            .complains(&["no server reachable", "gatekeeper serve"]);
    }
}

#[test]
fn a_wrong_command_line_is_2_and_says_what_is_right() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for whose in [&["keys", "create"][..], &["keys", "create", "--team", ""]] {
        runs(folder.path(), whose)
            .ends(2)
            .complains(&["--team", "--parent", "--admin"]);
    }
    for command in [
        &["keys", "create", "--team", "eng"][..],
        &["teams", "create", "eng"],
    ] {
        runs(folder.path(), &[command, &["--budget", "-5"]].concat())
            .ends(2)
            .complains(&["not an amount"]);
        runs(folder.path(), &[command, &["--rpm", "0"]].concat())
            .ends(2)
            .complains(&["a whole number from 1"]);
        runs(folder.path(), &[command, &["--tpm", "-3"]].concat())
            .ends(2)
            .complains(&["a whole number from 1"]);
    }
    runs(
        folder.path(),
        &["keys", "create", "--team", "eng", "--budget", "0"],
    )
    .ends(2)
    .complains(&["single quotes", "'$10'"]);
    runs(
        folder.path(),
        &["keys", "create", "--team", "eng", "--budget", "$5/year"],
    )
    .ends(2)
    .complains(&["'$10/month'"]);
    runs(
        folder.path(),
        &["keys", "create", "--team", "eng", "--expires", "soon"],
    )
    .ends(2)
    .complains(&["7d"]);
    runs(folder.path(), &["serve", "--listen", "everywhere"])
        .ends(78)
        .complains(&["127.0.0.1:4000"]);
}
