//! Price sheet in force: the one embedded in the binary, or a newer one that an operator applied. An applied sheet is stored with its
//! audit event and is in force when the change is answered; records keep the rates that they were priced with. Must never apply a sheet
//! that the release cannot read completely.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::plane::Control;
use crate::control::price_board::{
    PriceBoard, PricePublisher, StoredPrices, choose, embedded_sha256,
};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::price::Sheet;
use crate::price::sheet_difference::SheetDifference;
use crate::store::{AppliedSheet, SheetName};

/// Facts of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetFacts {
    /// source and month
    pub as_of: String,
    pub sha256: String,
    pub models: usize,
    /// `None`: embedded in the binary
    pub applied_ms: Option<u64>,
}

impl SheetFacts {
    fn name(&self) -> SheetName {
        SheetName {
            as_of: self.as_of.clone(),
            sha256: self.sha256.clone(),
        }
    }
}

/// Sheet in force, and the applied one that a newer embedded one has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetsInForce {
    pub in_force: SheetFacts,
    pub outdated: Option<SheetFacts>,
}

/// Effect of a sheet, made or only shown.
#[derive(Clone, Debug)]
pub struct SheetPlan {
    pub before: SheetFacts,
    pub after: SheetFacts,
    pub difference: SheetDifference,
}

impl Control {
    /// The stored sheet, and the way to put another one in force.
    #[must_use]
    pub fn with_prices(self, stored: StoredPrices, publish: Arc<PricePublisher>) -> Control {
        Control {
            prices: Arc::new(PriceBoard::new(stored, publish, embedded_sha256())),
            ..self
        }
    }

    /// Facts of the sheet in force.
    pub async fn price_sheet(
        &self,
        _grant: &Grant<may::ReadPrices>,
    ) -> Result<SheetsInForce, ApiError> {
        let applied = self.prices.applied();
        computed(move || sheets(applied.as_deref())).await
    }

    /// Text of the sheet in force.
    pub async fn price_sheet_text(
        &self,
        _grant: &Grant<may::ReadPrices>,
    ) -> Result<String, ApiError> {
        let applied = self.prices.applied();
        computed(move || Ok(text_in_force(applied.as_deref())?.into_owned())).await
    }

    /// Effect that a sheet would have, against the one in force.
    pub async fn plan_price_sheet(
        &self,
        _grant: &Grant<may::ChangePrices>,
        text: String,
    ) -> Result<SheetPlan, ApiError> {
        let (plan, _) = self.prepare_sheet(text).await?;
        Ok(plan)
    }

    /// Puts a sheet in force and stores it for the next start.
    pub async fn apply_price_sheet(
        &self,
        grant: &Grant<may::ChangePrices>,
        text: String,
    ) -> Result<SheetPlan, ApiError> {
        let (plan, applied) = self.prepare_sheet(text).await?;
        let detail = json!({
            "as_of": plan.after.as_of,
            "sha256": plan.after.sha256,
            "before_sha256": plan.before.sha256,
            "added": plan.difference.added.len(),
            "removed": plan.difference.removed.len(),
            "changed": plan.difference.changed.len(),
        });
        let name = plan.after.name();
        let apply = move |change: &mut Change<'_, '_>| {
            change.books.note_sheet(applied.at_ms, &name)?;
            change.books.put_applied_sheet(Some(applied))?;
            change.audit("prices.applied", "prices", &detail)
        };
        self.apply(grant.actor(), apply).await?;
        Ok(plan)
    }

    /// Puts the embedded sheet in force again and forgets the applied one; works for a damaged one too.
    pub async fn reset_price_sheet(
        &self,
        grant: &Grant<may::ChangePrices>,
    ) -> Result<SheetFacts, ApiError> {
        let facts = computed(|| Ok(embedded_facts(&Sheet::embedded()))).await?;
        let detail = json!({ "as_of": facts.as_of, "sha256": facts.sha256 });
        let (name, now_ms) = (facts.name(), self.now_ms());
        let reset = move |change: &mut Change<'_, '_>| {
            if !change.books.has_applied_sheet()? {
                return Err(ApiError::new(
                    ErrorCode::Conflict,
                    "no price sheet applied; the embedded one is in force",
                ));
            }
            change.books.note_sheet(now_ms, &name)?;
            change.books.put_applied_sheet(None)?;
            change.audit("prices.reset", "prices", &detail)
        };
        self.apply(grant.actor(), reset).await?;
        Ok(facts)
    }

    /// Reads a sheet and compares it with the one in force.
    async fn prepare_sheet(&self, text: String) -> Result<(SheetPlan, AppliedSheet), ApiError> {
        let (before, at_ms) = (self.prices.applied(), self.now_ms());
        computed(move || {
            let sheet = readable(&text)?;
            let in_force = sheets(before.as_deref())?.in_force;
            let difference = SheetDifference::between(&text_in_force(before.as_deref())?, &text)
                .map_err(|error| invalid(error.to_string()))?;
            let applied = AppliedSheet::new(text, at_ms);
            let plan = SheetPlan {
                before: in_force,
                after: facts_of(&sheet, &applied),
                difference,
            };
            Ok((plan, applied))
        })
        .await
    }
}

/// Notes the sheet of this start in the books, so that a record leads to its prices.
pub(super) async fn note_sheet(control: &Control) {
    let Some(name) = control.prices.at_start() else {
        return;
    };
    let at_ms = control.now_ms();
    let noted = control.store.write(move |books| {
        let noted = books.note_sheet(at_ms, &name);
        noted.map_err(ApiError::from)
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "price sheet of this start not noted");
    }
}

/// A sheet that can be applied: read completely, with rows and a month that is not before the embedded one's.
fn readable(text: &str) -> Result<Sheet, ApiError> {
    let sheet = Sheet::parse(text).map_err(|error| invalid(error.to_string()))?;
    if sheet.is_empty() {
        return Err(invalid("price sheet without models".to_owned()));
    }
    if sheet.month().is_none() {
        return Err(invalid(
            "price sheet without a month; end `as_of` with it, as in \"vendor list, 2026-11\""
                .to_owned(),
        ));
    }
    let embedded = Sheet::embedded();
    if embedded.month() > sheet.month() {
        let message = format!(
            "price sheet of `{}` is older than the embedded one of `{}`, which would stay in force",
            sheet.as_of, embedded.as_of
        );
        return Err(ApiError::new(ErrorCode::Conflict, message).with_param("sheet"));
    }
    Ok(sheet)
}

fn invalid(message: String) -> ApiError {
    ApiError::invalid(message).with_param("sheet")
}

fn sheets(applied: Option<&AppliedSheet>) -> Result<SheetsInForce, ApiError> {
    let embedded = || embedded_facts(&Sheet::embedded());
    let Some(applied) = applied else {
        return Ok(SheetsInForce {
            in_force: embedded(),
            outdated: None,
        });
    };
    let sheet = Sheet::parse(&applied.text).map_err(|error| invalid(error.to_string()))?;
    let facts = facts_of(&sheet, applied);
    Ok(match is_in_force(applied)? {
        true => SheetsInForce {
            in_force: facts,
            outdated: None,
        },
        false => SheetsInForce {
            in_force: embedded(),
            outdated: Some(facts),
        },
    })
}

fn is_in_force(applied: &AppliedSheet) -> Result<bool, ApiError> {
    let chosen = choose(Some(applied)).map_err(invalid)?;
    Ok(chosen.1)
}

fn text_in_force(applied: Option<&AppliedSheet>) -> Result<Cow<'_, str>, ApiError> {
    match applied {
        Some(applied) if is_in_force(applied)? => Ok(applied.text.as_str().into()),
        _ => Ok(Sheet::embedded_text().into()),
    }
}

fn facts_of(sheet: &Sheet, applied: &AppliedSheet) -> SheetFacts {
    SheetFacts {
        as_of: sheet.as_of.clone(),
        sha256: applied.sha256.clone(),
        models: sheet.len(),
        applied_ms: Some(applied.at_ms),
    }
}

fn embedded_facts(sheet: &Sheet) -> SheetFacts {
    SheetFacts {
        as_of: sheet.as_of.clone(),
        sha256: embedded_sha256().to_owned(),
        models: sheet.len(),
        applied_ms: None,
    }
}

/// Runs work on a sheet of some hundred KB outside the thread that serves requests.
async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let message = format!("work on the price sheet failed: {error}");
        Err(ApiError::new(ErrorCode::Internal, message))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::control::price_board::EmbeddedSheet;
    use crate::control::test_control::{TestControl, grant};
    use crate::store::StoreError;

    fn sheet(as_of: &str, input: &str) -> String {
        format!(
            r#"{{"as_of":"{as_of}","models":[{{"provider":"openai","model":"gpt-x","mode":"chat","context":null,"max_output":null,"rates":{{"input":"{input}","output":"2"}}}}]}}"#
        )
    }

    /// A control plane, and the sources of the sheets that it put in force.
    async fn open() -> (TestControl, Control, Arc<Mutex<Vec<String>>>) {
        let instance = TestControl::open().await;
        let published = Arc::new(Mutex::new(Vec::new()));
        let seen = published.clone();
        let stored =
            StoredPrices::load(&instance.store, EmbeddedSheet::begin()).expect("no sheet applied");
        let publish =
            move |sheet: Arc<Sheet>| seen.lock().expect("no panic").push(sheet.as_of.clone());
        let control = instance
            .control
            .clone()
            .with_prices(stored, Arc::new(publish));
        (instance, control, published)
    }

    #[tokio::test]
    async fn applied_sheet_is_in_force_audited_and_stored_until_a_reset() {
        let (instance, control, published) = open().await;
        let text = sheet("mine, 2027-01", "1");
        let planned = control
            .plan_price_sheet(&grant(may::ChangePrices), text.clone())
            .await;
        assert_eq!(planned.expect("a plan").difference.added, ["openai/gpt-x"]);
        assert!(
            published.lock().expect("no panic").is_empty(),
            "a plan changes nothing"
        );
        let made = control
            .apply_price_sheet(&grant(may::ChangePrices), text.clone())
            .await;
        let made = made.expect("applied");
        assert_eq!(*published.lock().expect("no panic"), ["mine, 2027-01"]);
        let stored = StoredPrices::load(&instance.store, EmbeddedSheet::begin()).expect("readable");
        assert_eq!(stored.sheet.as_of, "mine, 2027-01");
        let shown = control
            .price_sheet(&grant(may::ReadPrices))
            .await
            .expect("facts");
        assert_eq!(shown.in_force, made.after);
        let exported = control.price_sheet_text(&grant(may::ReadPrices)).await;
        assert_eq!(exported.expect("a text"), text);
        let events = instance.audit();
        let event = events.last().expect("an event");
        assert_eq!(
            (event["action"].as_str(), event["detail"]["sha256"].as_str()),
            (Some("prices.applied"), Some(made.after.sha256.as_str()))
        );
        let reset = control.reset_price_sheet(&grant(may::ChangePrices)).await;
        assert_eq!(reset.expect("reset").applied_ms, None);
        assert_eq!(published.lock().expect("no panic").len(), 2);
        assert_eq!(instance.store.applied_sheet().expect("readable"), None);
        let at = |at_ms| instance.store.sheet_at(at_ms).expect("readable");
        let name = |at_ms| at(at_ms).map(|name| name.sha256);
        let now_ms = control.now_ms();
        assert_eq!(name(now_ms).as_deref(), Some(embedded_sha256()));
        assert_eq!(name(now_ms - 1), None, "before the first");
        let again = control.reset_price_sheet(&grant(may::ChangePrices)).await;
        assert_eq!(
            again.expect_err("nothing to reset").code,
            ErrorCode::Conflict
        );
    }

    #[tokio::test]
    async fn sheet_older_than_the_embedded_one_or_unreadable_is_refused() {
        let (instance, control, published) = open().await;
        let unreadable = sheet("mine, 2027-01", "1").replace("\"context\"", "\"kontext\"");
        let without_models = r#"{"as_of":"mine, 2027-01","models":[]}"#.to_owned();
        for (text, code) in [
            (sheet("mine, 2020-01", "1"), ErrorCode::Conflict),
            (sheet("mine", "1"), ErrorCode::InvalidRequest),
            (unreadable, ErrorCode::InvalidRequest),
            (without_models, ErrorCode::InvalidRequest),
            ("prices".to_owned(), ErrorCode::InvalidRequest),
        ] {
            let refused = control
                .apply_price_sheet(&grant(may::ChangePrices), text.clone())
                .await;
            assert_eq!(refused.expect_err("refused").code, code, "{text}");
        }
        assert!(published.lock().expect("no panic").is_empty());
        assert_eq!(instance.store.applied_sheet().expect("readable"), None);
    }

    #[tokio::test]
    async fn damaged_sheet_is_refused_at_the_start_and_can_be_reset() {
        let (instance, control, _) = open().await;
        let text = sheet("mine, 2027-01", "1");
        control
            .apply_price_sheet(&grant(may::ChangePrices), text)
            .await
            .expect("applied");
        let damage = |books: &mut crate::store::ChangeTransaction<'_>| books.damage_applied_sheet();
        instance
            .store
            .write::<(), StoreError>(damage)
            .await
            .expect("damaged");
        let refused = StoredPrices::load(&instance.store, EmbeddedSheet::begin())
            .err()
            .expect("damaged");
        assert!(
            refused.to_string().contains("prices reset --offline"),
            "{refused}"
        );
        control
            .reset_price_sheet(&grant(may::ChangePrices))
            .await
            .expect("reset");
        assert!(StoredPrices::load(&instance.store, EmbeddedSheet::begin()).is_ok());
    }
}
