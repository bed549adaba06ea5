//! Banner of the demo: address, keys, and six steps to paste into a shell, within 80 columns.

use std::net::SocketAddr;
use std::path::Path;

use super::secrets::Secrets;
use super::teams::{LARGE, SMALL};

/// A step with a title.
struct Step {
    title: &'static str,
    command: String,
}

/// `program`: the command as the user typed it.
pub fn text(address: SocketAddr, data: &Path, secrets: &Secrets, program: &str) -> String {
    let steps = steps(address, secrets, program);
    let steps = steps
        .iter()
        .enumerate()
        .map(|(at, step)| format!("{}. {}\n\n{}\n", at + 1, step.title, step.command));
    format!(
        "\
Gatekeeper's demo listens on http://{address}
Its provider is a simulator: texts and prices are invented, the rest is real.
Data folder: {}

Paste these lines into a second terminal, in this folder:

  export OPENAI_BASE_URL=http://{address}/v1
  export OPENAI_API_KEY={}

{}
Administrative key: {}
Ctrl-C stops the demo; the next start continues with the same data.
",
        data.display(),
        key(secrets, "engineering"),
        steps.collect::<Vec<_>>().join("\n"),
        secrets.admin_key(),
    )
}

fn steps(address: SocketAddr, secrets: &Secrets, program: &str) -> Vec<Step> {
    let of_team = |team: &str| format!("x-api-key: {}", key(secrets, team));
    vec![
        Step {
            title: "Ask. The last line of the stream is the cost.",
            command: chat(
                "Authorization: Bearer $OPENAI_API_KEY",
                LARGE,
                "-sN",
                r#""stream": true, "#,
            ),
        },
        Step {
            title: "See what it cost.",
            command: format!("  {program} usage"),
        },
        Step {
            title: "See why it cost that much.",
            command: format!("  {program} requests explain --last"),
        },
        Step {
            title: "A budget that is used up: team support is refused with 402.",
            command: format!(
                "  {program} budgets list\n{}",
                chat(&of_team("support"), SMALL, "-s", "")
            ),
        },
        Step {
            title: "A model that team marketing may not call: 403.",
            command: chat(&of_team("marketing"), LARGE, "-s", ""),
        },
        Step {
            title: "Claude Code and Codex.",
            command: agents(address),
        },
    ]
}

/// A question with curl; lines are short enough for every header.
fn chat(credential: &str, model: &str, flags: &str, more: &str) -> String {
    format!(
        "  curl {flags} $OPENAI_BASE_URL/chat/completions \\\n    -H \"{credential}\" \\\n    -H \"Content-Type: application/json\" \\\n    \
         -d '{{\"model\": \"{model}\", {more}\n         \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
    )
    .replace(", \n", ",\n")
}

fn agents(address: SocketAddr) -> String {
    format!(
        "  ANTHROPIC_BASE_URL=http://{address} ANTHROPIC_API_KEY= \\\n    ANTHROPIC_AUTH_TOKEN=$OPENAI_API_KEY claude --model {LARGE}\n\n  \
         codex -m {LARGE} -c model_provider=gatekeeper \\\n    \
         -c model_providers.gatekeeper.name=Gatekeeper \\\n    \
         -c model_providers.gatekeeper.base_url=$OPENAI_BASE_URL \\\n    \
         -c model_providers.gatekeeper.env_key=OPENAI_API_KEY \\\n    \
         -c model_providers.gatekeeper.wire_api=responses"
    )
}

/// The same question with the SDKs of OpenAI, which read the two variables.
pub fn snippets() -> String {
    format!(
        "\
Python (pip install openai):

  from openai import OpenAI
  answer = OpenAI().chat.completions.create(
      model=\"{LARGE}\", messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}])
  print(answer.choices[0].message.content)

JavaScript (npm install openai):

  import OpenAI from \"openai\";
  const answer = await new OpenAI().chat.completions.create({{
    model: \"{LARGE}\", messages: [{{ role: \"user\", content: \"Hello\" }}] }});
  console.log(answer.choices[0].message.content);

"
    )
}

fn key<'a>(secrets: &'a Secrets, team: &str) -> &'a str {
    secrets.key(team).unwrap_or("(no key)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn secrets(folder: &Path) -> Secrets {
        // random part and checksum of a key have 34 characters
        let random = "x".repeat(34);
        let mut secrets = Secrets::new(folder, &Secret::new(format!("sk-gk-master-{random}")));
        for team in ["engineering", "marketing", "support"] {
            secrets
                .add(team, &format!("sk-gk-{team}-{random}"))
                .expect("saved");
        }
        secrets
    }

    #[test]
    fn banner_fits_eighty_columns_and_has_six_steps() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = "127.0.0.1:4000".parse().expect("an address");
        let secrets = secrets(folder.path());
        let text = text(
            address,
            Path::new("gatekeeper-demo"),
            &secrets,
            "target/release/gatekeeper",
        );
        for line in text.lines().chain(snippets().lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("6. Claude Code"), "{text}");
    }

    #[test]
    fn sample_questions_have_json_bodies() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = "127.0.0.1:4000".parse().expect("an address");
        let steps = steps(address, &secrets(folder.path()), "gatekeeper");
        let bodies = steps
            .iter()
            .filter_map(|step| step.command.split_once("-d '"));
        let bodies: Vec<&str> = bodies
            .map(|(_, body)| body.trim_end_matches('\''))
            .collect();
        assert_eq!(bodies.len(), 3);
        for body in bodies {
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert!(body["model"].is_string() && body["messages"].is_array());
        }
    }
}
