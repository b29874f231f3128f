//! Values that the API writes in its own way: amounts, currencies, ids, and the domain's closed lists as GraphQL enums.

use async_graphql::{ID, InputObject, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use domain::id::{Id, Kind};
use domain::window::check_instant;

use crate::error::{Code, Error, Refusal, Result};

/// A decimal number as text, such as "12.50": exact, never a float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(pub String);

#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            // A whole number is exact in any notation; a JSON number with decimals may have passed through a float on its way.
            Value::Number(number) if number.is_i64() || number.is_u64() => Ok(Self(number.to_string())),
            Value::Number(_) => Err(InputValueError::custom("write a decimal amount as a string, such as \"12.50\"")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl From<domain::Percent> for Decimal {
    fn from(percent: domain::Percent) -> Self {
        Self(percent.to_string())
    }
}

/// An instant as the clocks of a zone show it, such as "2026-05-04T09:00:00+02:00".
pub fn local_time(instant: DateTime<Utc>, zone: Tz) -> String {
    instant.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// An instant to look things up by: one that both databases order alike.
///
/// # Errors
/// [`Error::BadInput`] for one outside of the years 1970 to 9999.
pub fn instant(given: Option<DateTime<Utc>>, name: &str) -> Result<Option<DateTime<Utc>>> {
    given.map(check_instant).transpose().map_err(|reason| Error::BadInput(format!("`{name}`: {reason}")))
}

/// An ISO 4217 currency code, such as "USD".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrencyCode(pub String);

#[Scalar(name = "CurrencyCode")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl CurrencyCode {
    /// The currency, or a refusal of the field.
    ///
    /// # Errors
    /// [`Code::UnknownCurrency`] at `field`.
    pub fn parse<const N: usize>(&self, field: [&str; N]) -> Result<domain::Currency> {
        domain::Currency::parse(&self.0).map_err(|error| Error::from(Refusal::from(error).under(field)))
    }
}

impl From<domain::Currency> for CurrencyCode {
    fn from(currency: domain::Currency) -> Self {
        Self(currency.code().to_owned())
    }
}

/// A whole number beyond 32 bits, such as a version; written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Long(pub i64);

#[Scalar(name = "Long")]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::Number(number) => number.as_i64().map(Self).ok_or_else(|| InputValueError::custom("expected a whole number of 64 bits")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// An amount of money with its currency; the amount has exactly the currency's digits.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct Money {
    /// The amount, such as "12.50" USD, "1200" JPY, "1.250" KWD.
    pub amount: Decimal,
    /// Its currency.
    pub currency: CurrencyCode,
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        Self { amount: Decimal(money.decimal_text()), currency: money.currency.into() }
    }
}

/// An amount of money; fewer digits than the currency has are filled up, more are refused.
#[derive(Debug, Clone, InputObject)]
pub struct MoneyInput {
    /// The amount as a string.
    pub amount: Decimal,
    /// Its currency.
    pub currency: CurrencyCode,
}

impl MoneyInput {
    /// The amount, or a refusal that names the field under `path`.
    ///
    /// # Errors
    /// Unknown currency, too many digits, not a number, too large.
    pub fn parse<S: Into<String> + Clone>(&self, path: impl IntoIterator<Item = S>) -> Result<domain::Money, Refusal> {
        let path: Vec<String> = path.into_iter().map(Into::into).collect();
        let currency =
            domain::Currency::parse(&self.currency.0).map_err(|error| Refusal::from(error).under(["currency"]).under(path.clone()))?;
        domain::Money::parse(&self.amount.0, currency).map_err(|error| Refusal::from(error).under(["amount"]).under(path))
    }
}

/// Reads the id of an input; a malformed id is the same as one of nothing.
///
/// # Errors
/// [`Code::NotFound`] at `field`.
pub fn input_id<K: Kind>(id: &ID, field: &str, what: &str) -> Result<Id<K>> {
    Id::parse(id).ok_or_else(|| Error::not_found(field, what))
}

/// The same for a list of ids; each bad one is named by its place.
///
/// # Errors
/// [`Code::NotFound`] at `field` and place.
pub fn input_ids<K: Kind>(ids: &[ID], field: &str, what: &str) -> Result<Vec<Id<K>>> {
    let (mut found, mut refusals) = (Vec::with_capacity(ids.len()), Vec::new());
    for (index, id) in ids.iter().enumerate() {
        match Id::parse(id) {
            Some(id) => found.push(id),
            None => refusals.push(Refusal::at(
                Code::NotFound,
                [field.to_owned(), index.to_string()],
                format!("There is no such {what}; check the id."),
            )),
        }
    }
    if refusals.is_empty() { Ok(found) } else { Err(refusals.into()) }
}

/// Makes a GraphQL enum of one of the domain's closed lists, by its stable names.
macro_rules! named_enum {
    ($(#[doc = $doc:literal])* $name:ident($inner:ty)) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl $name {
            fn register(registry: &mut async_graphql::registry::Registry) -> async_graphql::registry::MetaType {
                let _ = registry;
                async_graphql::registry::MetaType::Enum {
                    name: stringify!($name).to_owned(),
                    description: Some(concat!($($doc),*).trim().to_owned()),
                    enum_values: <$inner>::ALL
                        .iter()
                        .map(|value| {
                            let value = async_graphql::registry::MetaEnumValue {
                                name: value.name().to_owned(),
                                description: None,
                                deprecation: async_graphql::registry::Deprecation::NoDeprecated,
                                visible: None,
                                inaccessible: false,
                                tags: Vec::new(),
                                directive_invocations: Vec::new(),
                            };
                            (value.name.clone(), value)
                        })
                        .collect(),
                    visible: None,
                    inaccessible: false,
                    tags: Vec::new(),
                    rust_typename: Some(std::any::type_name::<Self>()),
                    directive_invocations: Vec::new(),
                    requires_scopes: Vec::new(),
                }
            }
        }

        impl async_graphql::InputType for $name {
            type RawValueType = Self;
            fn type_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn create_type_info(registry: &mut async_graphql::registry::Registry) -> String {
                registry.create_input_type::<Self, _>(async_graphql::registry::MetaTypeId::Enum, Self::register)
            }
            fn parse(value: Option<async_graphql::Value>) -> async_graphql::InputValueResult<Self> {
                let value = value.unwrap_or_default();
                let name = match &value {
                    async_graphql::Value::Enum(name) => name.as_str(),
                    async_graphql::Value::String(name) => name.as_str(),
                    _ => return Err(async_graphql::InputValueError::expected_type(value)),
                };
                <$inner>::parse(name)
                    .map(Self)
                    .ok_or_else(|| async_graphql::InputValueError::custom(format!("{name:?} is not one of its values")))
            }
            fn to_value(&self) -> async_graphql::Value {
                async_graphql::Value::Enum(async_graphql::Name::new(self.0.name()))
            }
            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }
        }

        impl async_graphql::OutputType for $name {
            fn type_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn create_type_info(registry: &mut async_graphql::registry::Registry) -> String {
                registry.create_output_type::<Self, _>(async_graphql::registry::MetaTypeId::Enum, Self::register)
            }
            async fn resolve(
                &self,
                _ctx: &async_graphql::ContextSelectionSet<'_>,
                _field: &async_graphql::Positioned<async_graphql::parser::types::Field>,
            ) -> async_graphql::ServerResult<async_graphql::Value> {
                Ok(async_graphql::Value::Enum(async_graphql::Name::new(self.0.name())))
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}
pub(crate) use named_enum;
