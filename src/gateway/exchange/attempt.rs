//! An admitted attempt: the request on its way to one deployment, with its open hold.

use std::sync::Arc;
use std::time::Instant;

use crate::dialect::Request;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Remainder;
use crate::domain::event::{Flags, HoldId};
use crate::domain::header_list::HeaderList;
use crate::domain::limit::Allowance;
use crate::gateway::admission::plan::{Admission, GrantedHold};
use crate::gateway::caching::recorder::CacheAttempt;
use crate::gateway::exchange::context::ExchangeContext;
use crate::gateway::exchange::facts::CallFacts;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::settler::Settler;
use crate::gateway::exchange::shared_progress::SharedProgress;
use crate::gateway::request::embeddings::NativeEmbeddings;
use crate::gateway::request::translate::TranslatedRequest;
use crate::gateway::{rate_limit_headers, reply};
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::upstream::Fetcher;

pub(in crate::gateway) struct AdmittedAttempt {
    pub request: Arc<Request>,
    pub hold: Box<OpenHold>,
    pub context: Arc<ExchangeContext>,
    pub endpoint: &'static Endpoint,
    pub url: String,
    /// present where the vendor speaks another dialect
    pub translated: Option<Box<TranslatedRequest>>,
    /// `messages` of a pass-through with the reasoning that the client left out
    pub restored: Option<Arc<str>>,
    /// present where the vendor has a format of its own for embeddings
    pub embeddings: Option<Box<NativeEmbeddings>>,
}

impl AdmittedAttempt {
    /// Takes over a granted hold: from here on it is resolved exactly once, however the attempt ends.
    pub fn open(
        (admission, granted): (Box<Admission>, GrantedHold),
        settler: Arc<Settler>,
        context: Arc<ExchangeContext>,
        (route, marks, cache): (SharedProgress, Flags, Option<Box<CacheAttempt>>),
    ) -> AdmittedAttempt {
        let (mut admission, GrantedHold { grant, cap }) = (*admission, granted);
        let known_members_only = cap.binding && admission.needs_known_members();
        let facts = CallFacts {
            team: admission.team(),
            marks,
            ceiling: cap.ceiling,
            guessed: cap.guessed,
            ceiling_factor: cap.factor,
            foreign_members: admission.foreign_members(known_members_only),
            tier_asked: admission.request.service_tier.clone(),
            output_cap: cap.tokens,
            written_cap: cap.write,
            input_bytes: admission.input_bytes(),
            admitted: Instant::now(),
            deadlines: admission.deadlines,
            known_members_only,
            changed_members: admission.changed_members(known_members_only),
            cache_lifetime: admission.request.cache_lifetime(),
            routes: settler.routes.load_full(),
            deployment: admission.deployment().clone(),
            route,
            cache,
            origin: admission.origin,
        };
        let (note, call) = (admission.note(), admission.step.call.take());
        AdmittedAttempt {
            hold: OpenHold::new(settler, grant, facts, note, call),
            request: admission.request,
            context,
            endpoint: admission.endpoint,
            url: admission.url,
            translated: admission.translated,
            restored: admission.restored,
            embeddings: admission.embeddings,
        }
    }

    /// Returns true if the request has images by URL and the vendor takes none.
    pub fn fetches_images(&self) -> bool {
        let translated = self.translated.as_ref();
        translated.is_some_and(|translated| translated.fetches_images())
    }

    /// Fetches images by URL for a vendor that takes none.
    pub async fn fetch_images(&mut self, fetcher: Option<&Fetcher>) -> Result<(), ApiError> {
        let Some(fetcher) = fetcher else {
            return Ok(());
        };
        let Some(mut translated) = self
            .translated
            .take_if(|translated| translated.fetches_images())
        else {
            return Ok(());
        };
        self.hold.is_counted = true;
        translated.fetch_images(fetcher).await?;
        let (bytes, deployment) = (translated.media_bytes(), self.hold.facts.deployment.clone());
        let encode = move || translated.encode_fetched(&deployment).map(|()| translated);
        let encoded = self.context.work.run(bytes, encode).await?;
        self.translated = Some(encoded);
        Ok(())
    }

    /// Facts for the headers of the reply, should the attempt fail.
    pub fn facts_of_failure(&self) -> FailedHead {
        let grant = &self.hold.grant;
        FailedHead {
            id: grant.id,
            deployment: self.hold.facts.deployment.clone(),
            allowance: grant.allowance,
            remainder: grant.remainder,
        }
    }
}

/// Head of the reply to a failed attempt: the deployment that was asked, and what budgets and rate limits have left.
pub(in crate::gateway) struct FailedHead {
    id: HoldId,
    deployment: Arc<Deployment>,
    allowance: Option<Allowance>,
    remainder: Option<Remainder>,
}

impl FailedHead {
    pub fn headers(&self) -> HeaderList {
        let mut headers = HeaderList::default();
        if let Some(allowance) = &self.allowance {
            rate_limit_headers::put_headers(&mut headers, allowance);
        }
        reply::put_attempt(&mut headers, self.id, &self.deployment);
        reply::put_remainder(&mut headers, self.remainder);
        headers
    }
}
