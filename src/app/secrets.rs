//! The installation secret: keyed hashes for what is looked up, sealing for what must be read again. One secret, with a key id in every
//! sealed text, so that it can be exchanged.

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::entropy::Entropy;

/// What is hashed or sealed; each purpose has a key of its own, so that a hash of one is never good for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// E-mail addresses.
    Email,
    /// Secrets of guest carts.
    Cart,
    /// One-time links.
    Link,
    /// Service keys.
    ServiceKey,
    /// Registration tokens.
    Token,
    /// Keys that sign sign-ins.
    SigningKey,
    /// Texts of mails.
    Mail,
    /// Keys of endpoints that are told of events.
    WebhookEndpoint,
    /// Links to documents.
    DocumentLink,
    /// Links to files.
    Export,
    /// The fixed text that tells a wrong secret.
    Check,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Cart => "cart",
            Self::Link => "link",
            Self::ServiceKey => "service-key",
            Self::Token => "token",
            Self::SigningKey => "signing-key",
            Self::Mail => "mail",
            Self::WebhookEndpoint => "webhook-endpoint",
            Self::DocumentLink => "document-link",
            Self::Export => "export",
            Self::Check => "check",
        }
    }
}

/// The installation secret.
pub struct Secrets {
    secret: SecretString,
    key_id: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.key_id)
    }
}

impl Secrets {
    /// Fewest characters of an installation secret.
    pub const MIN_LENGTH: usize = 32;

    /// From the installation's secret text.
    ///
    /// # Errors
    /// Shorter than [`Self::MIN_LENGTH`] characters.
    pub fn new(secret: SecretString) -> anyhow::Result<Self> {
        if secret.expose_secret().chars().count() < Self::MIN_LENGTH {
            return Err(anyhow!("the installation secret has fewer than {} characters", Self::MIN_LENGTH));
        }
        let mut this = Self { secret, key_id: String::new() };
        this.key_id = URL_SAFE_NO_PAD.encode(&this.derive("key-id", b"")[..6]);
        Ok(this)
    }

    fn derive(&self, label: &str, text: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(label.as_bytes());
        mac.update(&[0]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// The keyed hash of `text`, the same each time: for looking things up.
    pub fn hash(&self, purpose: Purpose, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.derive(&format!("hash:{}", purpose.name()), text.as_bytes()))
    }

    fn aead(&self, purpose: Purpose) -> anyhow::Result<LessSafeKey> {
        let key = self.derive(&format!("seal:{}", purpose.name()), b"");
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).map_err(|_| anyhow!("no sealing key"))?))
    }

    /// Encrypts `text` so that only this installation reads it.
    ///
    /// # Errors
    /// The cipher failed, which it does not for texts of sane length.
    pub fn seal(&self, purpose: Purpose, text: &[u8], entropy: &dyn Entropy) -> anyhow::Result<String> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = text.to_vec();
        self.aead(purpose)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.key_id.as_bytes()), &mut sealed)
            .map_err(|_| anyhow!("sealing failed"))?;
        Ok(format!("{}.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Reads what [`Self::seal`] made.
    ///
    /// # Errors
    /// Sealed with another secret, for another purpose, or damaged.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> anyhow::Result<Vec<u8>> {
        let mut parts = sealed.splitn(3, '.');
        let (key_id, nonce, text) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        if key_id != self.key_id {
            return Err(anyhow!("sealed with another installation secret (key id {key_id}, ours is {})", self.key_id));
        }
        let nonce: [u8; NONCE_LEN] = URL_SAFE_NO_PAD.decode(nonce)?.try_into().map_err(|_| anyhow!("a nonce of another length"))?;
        let mut text = URL_SAFE_NO_PAD.decode(text).context("sealed text")?;
        let opened = self
            .aead(purpose)?
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(self.key_id.as_bytes()), &mut text)
            .map_err(|_| anyhow!("a sealed text is damaged"))?;
        Ok(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::entropy::Seeded;

    fn secrets(text: &str) -> Secrets {
        Secrets::new(SecretString::from(text.repeat(40))).expect("long enough")
    }

    #[test]
    fn sealed_texts_open_with_the_same_secret_and_purpose_only() {
        let (ours, theirs, entropy) = (secrets("a"), secrets("b"), Seeded::new(1));
        let sealed = ours.seal(Purpose::Token, b"ABCD", &entropy).expect("sealed");
        assert_eq!(ours.open(Purpose::Token, &sealed).expect("opened"), b"ABCD");
        assert!(ours.open(Purpose::Link, &sealed).is_err());
        assert!(theirs.open(Purpose::Token, &sealed).is_err());
        assert!(!sealed.contains("ABCD") && !format!("{ours:?}").contains("aaaa"));
    }

    #[test]
    fn hashes_differ_by_purpose_and_secret() {
        let (ours, theirs) = (secrets("a"), secrets("b"));
        assert_eq!(ours.hash(Purpose::Email, "x"), ours.hash(Purpose::Email, "x"));
        assert_ne!(ours.hash(Purpose::Email, "x"), ours.hash(Purpose::Cart, "x"));
        assert_ne!(ours.hash(Purpose::Email, "x"), theirs.hash(Purpose::Email, "x"));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Secrets::new(SecretString::from("short")).is_err());
    }
}
