//! Translation of a request for a vendor of another dialect: decoded into the canonical model, fitted to the model's
//! capabilities, encoded once the output cap is known. Yields the upstream's body and the translation of the response.

use bytes::Bytes;

use crate::conversation::{Capabilities, ChatRequest, Content, Media, Source, ToolNames};
use crate::dialect::{
    self, Dialect, EncodeOptions, Request, ResponseMeta, ResponseStream, StreamOptions,
};
use crate::domain::api_error::ApiError;
use crate::domain::attribution::Pseudonyms;
use crate::domain::id::TeamId;
use crate::domain::input_bound::InputBound;
use crate::gateway::request::fitting::{FittedBody, Fitter};
use crate::gateway::request::reasoning_memory::ReasoningStore;
use crate::gateway::request::{UNKNOWN_MODEL_TOKENS, compat, fitting, inline_images, media_types};
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::upstream::Fetcher;

/// A request in the canonical model, fitted to one deployment.
pub(in crate::gateway) struct TranslatedRequest {
    chat: ChatRequest,
    names: ToolNames,
    capabilities: Capabilities,
    pub endpoint: &'static Endpoint,
    /// bytes restored from the reasoning memory, which the client did not send
    recalled_bytes: u64,
    /// the upstream's body with the client's output cap
    body: Bytes,
    /// images by URL that are fetched before the request is sent
    deferred: Vec<String>,
}

/// Surroundings of a translation.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct TranslationContext<'a> {
    pub reasoning: &'a ReasoningStore,
    pub team: TeamId,
    pub pseudonyms: &'a Pseudonyms,
    /// the gateway may fetch images by URL
    pub may_fetch: bool,
}

impl TranslatedRequest {
    /// Decodes and fits the request. Refuses what the vendor cannot do and, with `unsupported = "error"`, what would be left
    /// out.
    pub fn plan(
        context: TranslationContext<'_>,
        request: &Request,
        deployment: &Deployment,
        endpoint: &'static Endpoint,
    ) -> Result<TranslatedRequest, ApiError> {
        let planned = TranslatedRequest::plan_at(context, request, deployment, endpoint)?;
        let fitter = Fitter::new(deployment, endpoint);
        match fitter.endpoint_for(&planned.body) {
            Some(other) => {
                let mut other = TranslatedRequest::plan_at(context, request, deployment, other)?;
                other.fit(deployment, request)?;
                Ok(other)
            }
            None => {
                let mut planned = planned;
                planned.fit(deployment, request)?;
                Ok(planned)
            }
        }
    }

    fn plan_at(
        context: TranslationContext<'_>,
        request: &Request,
        deployment: &Deployment,
        endpoint: &'static Endpoint,
    ) -> Result<TranslatedRequest, ApiError> {
        let mut capabilities = deployment.capabilities();
        if endpoint.dialect == Dialect::Responses {
            capabilities = capabilities.at_responses();
        }
        let names = dialect::field_names(request.dialect);
        let fitter = Fitter::new(deployment, endpoint);
        let mut chat = dialect::decode_request(request, &context.reasoning.sealer)?;
        let recalled_bytes = context
            .reasoning
            .recall(context.team, &mut chat, endpoint.dialect);
        let fetches = context.may_fetch && capabilities.images && !capabilities.image_urls;
        let deferred = if fetches {
            inline_images::defer(&mut chat)?
        } else {
            Vec::new()
        };
        let is_relabeled = media_types::label(&mut chat);
        chat.output_cap = chat.output_cap.map(|cap| fitter.cap_bounds().apply(cap));
        chat.fit(&capabilities, names, &deployment.qualified())?;
        fitter.check_policy(&chat.dropped)?;
        if is_relabeled || leaves_blanks_out(&chat, endpoint.dialect) {
            chat.drop_param(names.messages);
        }
        if request.dialect == Dialect::Messages
            && let Some(user) = &chat.user
        {
            // an id of another vendor's account, and longer than others take
            chat.user = Some(format!("user_{}", context.pseudonyms.user(user)));
            chat.drop_param(names.user);
        }
        let mut translated = TranslatedRequest {
            names: ToolNames::of(&chat, capabilities.names),
            chat,
            capabilities,
            endpoint,
            recalled_bytes,
            body: Bytes::new(),
            deferred,
        };
        translated.body = translated.encode(deployment)?;
        Ok(translated)
    }

    /// Fits the encoded body to the limits of the vendor and names what changed.
    fn fit(&mut self, deployment: &Deployment, request: &Request) -> Result<(), ApiError> {
        let fitter = Fitter::new(deployment, self.endpoint);
        let FittedBody { body, changed } = fitter.fit(self.body.clone())?;
        let names = dialect::field_names(request.dialect);
        let mut changed: Vec<String> = changed
            .iter()
            .map(|path| fitting::client_name(path, names))
            .collect();
        changed.retain(|name| !name.contains("max_"));
        fitter.check_policy(&changed)?;
        changed
            .into_iter()
            .for_each(|name| self.chat.drop_param(name));
        self.body = body;
        Ok(())
    }

    /// Bound of what is sent: hosted tools and files kept by a vendor are not translated, fetched images count as images, and
    /// restored reasoning is input too.
    pub fn input(&self, requested: InputBound) -> InputBound {
        let (mut images, mut documents, mut unbounded) = (0, 0, None);
        for media in self.chat.media() {
            match media {
                Content::Image(Media {
                    source: Source::Base64(_),
                    ..
                }) => images += 1,
                Content::Document(Media {
                    source: Source::Base64(_),
                    ..
                }) => documents += 1,
                Content::Image(_) => unbounded = Some("remote image URL".to_owned()),
                _ => {}
            }
        }
        let text_bytes = requested.text_bytes.saturating_add(self.recalled_bytes);
        InputBound {
            text_bytes,
            images,
            documents,
            searches: 0,
            unbounded,
            ..requested
        }
    }

    pub fn fetches_images(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Replaces the placeholders of images by URL by the images themselves.
    pub async fn fetch_images(&mut self, fetcher: &Fetcher) -> Result<(), ApiError> {
        inline_images::inline(&mut self.chat, &self.deferred, fetcher).await
    }

    /// Bytes of the media that the body carries.
    pub fn media_bytes(&self) -> usize {
        self.chat.media().map(embedded_bytes).sum()
    }

    /// Encodes the body once more, with the images that were fetched.
    pub fn encode_fetched(&mut self, deployment: &Deployment) -> Result<(), ApiError> {
        let body = self.encode(deployment)?;
        self.body = Fitter::new(deployment, self.endpoint).fit(body)?.body;
        Ok(())
    }

    /// Fewest tokens that the model is told to think with, where an effort became a number.
    pub fn thinking_tokens_min(&self) -> Option<u64> {
        self.chat.thinking_tokens_min(&self.capabilities)
    }

    /// Members that the vendor receives changed or not at all, as a header lists them.
    pub fn dropped(&self) -> Option<String> {
        let mut names: Vec<&str> = self.chat.dropped.iter().map(String::as_str).collect();
        names.sort_unstable();
        compat::header_list(&names)
    }

    /// The upstream body with the chosen cap.
    pub fn body(
        &mut self,
        deployment: &Deployment,
        output_cap: Option<u64>,
    ) -> Result<Bytes, ApiError> {
        let Some(tokens) = output_cap else {
            return Ok(self.body.clone());
        };
        self.chat.cap(tokens, &self.capabilities);
        let body = self.encode(deployment)?;
        let fitted = Fitter::new(deployment, self.endpoint).fit(body)?;
        Ok(fitted.body)
    }

    fn encode(&self, deployment: &Deployment) -> Result<Bytes, ApiError> {
        let preset = deployment.provider.preset;
        let longest = deployment
            .price
            .max_output()
            .unwrap_or(UNKNOWN_MODEL_TOKENS);
        let fitter = Fitter::new(deployment, self.endpoint);
        let options = EncodeOptions {
            model: &deployment.model,
            capabilities: &self.capabilities,
            names: &self.names,
            output_cap: self.chat.output_cap,
            output_max: fitter.cap_bounds().apply(longest),
            output_cap_field: preset.output_cap_field,
            stream_usage_opt_in: preset.stream_usage_opt_in,
        };
        let body = dialect::encode_request(self.endpoint.dialect, &self.chat, &options);
        fitter.apply_compat(Bytes::from(body))
    }

    /// Reader of the response, which it translates for the client. An error is a defect.
    pub fn response_stream(
        self,
        request: &Request,
        meta: ResponseMeta,
        options: StreamOptions,
    ) -> Result<ResponseStream, String> {
        ResponseStream::translated(self.endpoint.dialect, request, meta, self.names, options)
            .ok_or_else(|| "a response cannot be translated".to_owned())
    }
}

/// Claude and Converse take no text of whitespace alone; an empty one says nothing.
fn leaves_blanks_out(chat: &ChatRequest, upstream: Dialect) -> bool {
    let is_blank = |content: &Content| matches!(content, Content::Text(text) if !text.is_empty() && text.trim().is_empty());
    let mut blocks = chat.turns.iter().flat_map(|turn| &turn.blocks);
    matches!(upstream, Dialect::Messages | Dialect::Converse)
        && blocks.any(|block| is_blank(&block.content))
}

fn embedded_bytes(content: &Content) -> usize {
    match content {
        Content::Image(media) | Content::Document(media) => match &media.source {
            Source::Base64(text) | Source::Text(text) => text.len(),
            Source::Url(_) | Source::File(_) => 0,
        },
        _ => 0,
    }
}
