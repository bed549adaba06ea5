//! Banner of the demo: listen address, keys, and sample commands to paste into a shell.

use std::net::SocketAddr;
use std::path::Path;

use super::secrets::Secrets;
use super::teams::{LARGE, SMALL};

/// A shell command with a title.
struct SampleCommand {
    title: &'static str,
    command: String,
}

pub fn text(address: SocketAddr, data: &Path, secrets: &Secrets) -> String {
    let commands: Vec<String> = commands(address, secrets)
        .iter()
        .map(|sample| format!("# {}\n{}\n", sample.title, sample.command))
        .collect();
    format!(
        "\
Gatekeeper's demo listens on http://{address}. Its provider is a simulator: response texts and prices are invented,
everything else is real. Data folder: {}

  OpenAI SDKs      base URL  http://{address}/v1
  Anthropic SDKs   base URL  http://{address}
  virtual key      {}    (team engineering)
  administrative   {}

{}
Ctrl-C stops the demo; the next start continues with the same data.
",
        data.display(),
        key(secrets, "engineering"),
        secrets.admin_key(),
        commands.join("\n"),
    )
}

fn commands(address: SocketAddr, secrets: &Secrets) -> Vec<SampleCommand> {
    let question = |text: &str| format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#);
    let chat = |team: &str, model: &str, more: &str| {
        post(
            address,
            "/v1/chat/completions",
            key(secrets, team),
            &format!(r#"{{"model":"{model}",{more}{}}}"#, question("Hello")),
        )
    };
    let message = format!(
        r#"{{"model":"{SMALL}","max_tokens":100,{}}}"#,
        question("Hello")
    );
    vec![
        SampleCommand {
            title: "Streamed response; the last comment is its cost.",
            command: chat("engineering", LARGE, r#""stream":true,"#),
        },
        SampleCommand {
            title: "The same gateway with the Anthropic API.",
            command: post(
                address,
                "/v1/messages",
                key(secrets, "engineering"),
                &message,
            ),
        },
        SampleCommand {
            title: "The records of these requests.",
            command: format!(
                "curl -s 'http://{address}/v1/requests?limit=2' -H 'Authorization: Bearer {}'",
                secrets.admin_key()
            ),
        },
        SampleCommand {
            title: "Refused with 403: model not allowed for marketing.",
            command: chat("marketing", LARGE, ""),
        },
        SampleCommand {
            title: "Refused with 402: budget of support exhausted.",
            command: chat("support", SMALL, ""),
        },
    ]
}

fn post(address: SocketAddr, path: &str, key: &str, body: &str) -> String {
    format!(
        "curl -sN http://{address}{path} -H 'Authorization: Bearer {key}' \\\n  -H 'Content-Type: application/json' -d '{body}'"
    )
}

fn key<'a>(secrets: &'a Secrets, team: &str) -> &'a str {
    secrets.key(team).unwrap_or("(no key)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    #[test]
    fn sample_commands_have_json_bodies_and_balanced_quotes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut secrets = Secrets::new(folder.path(), &Secret::new("sk-gk-master-x"));
        for team in ["engineering", "marketing", "support"] {
            secrets
                .add(team, &format!("sk-gk-{team}-x"))
                .expect("saved");
        }
        let commands = commands("127.0.0.1:4000".parse().expect("an address"), &secrets);
        assert_eq!(commands.len(), 5);
        for sample in commands {
            assert_eq!(
                sample.command.matches('\'').count() % 2,
                0,
                "{}",
                sample.command
            );
            if let Some((_, body)) = sample.command.split_once("-d ") {
                let body: serde_json::Value =
                    serde_json::from_str(body.trim_matches('\'')).expect("JSON");
                assert!(body["model"].is_string() && body["messages"].is_array());
            }
        }
    }
}
