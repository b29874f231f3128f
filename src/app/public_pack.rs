//! Packs that everybody is shown: coupons that sell a product at another price with another number of credits, as order forms and offers list
//! them.

use std::collections::HashMap;

use domain::coupon::{Added, Circumstances, LineFacts, Rules, Uses, replay};
use domain::{CartLineId, Currency, Money, ProductId};
use sea_orm::ConnectionTrait;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::App;
use super::offer::{OfferContext, OfferView};
use crate::error::Result;
use crate::store;

/// A pack that everybody is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPack {
    /// The code that sells it.
    pub code: String,
    /// What one costs.
    pub price: Money,
    /// The credits that one gives.
    pub credits: u32,
}

impl PublicPack {
    /// Its code as it stands behind the question mark of an address.
    pub fn code_in_address(&self) -> String {
        byte_serialize(self.code.as_bytes()).collect()
    }
}

impl App {
    /// Adds the packs of these offers that work for somebody who buys one: a fixed number of statements.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn add_packs(&self, db: &impl ConnectionTrait, context: &OfferContext, views: &mut [OfferView]) -> Result<()> {
        if !self.shop.coupons_enabled || views.is_empty() {
            return Ok(());
        }
        let products: Vec<ProductId> = views.iter().map(|view| view.product).collect();
        let packs = store::coupon::public_packs(db, &products).await?;
        if packs.is_empty() {
            return Ok(());
        }
        let own = |rules: &Rules| [rules.effect.currency(), rules.limits.minimum.map(|minimum| minimum.currency)];
        let mut bases: Vec<Currency> =
            packs.iter().flat_map(|(coupon, _)| own(&coupon.rules)).flatten().filter(|currency| *currency != context.currency).collect();
        bases.sort_unstable();
        bases.dedup();
        let rates = self.rates_into(db, context, &bases).await?;
        let limited = packs.iter().any(|(coupon, _)| !coupon.rules.limits.providers.is_any() || !coupon.rules.limits.kinds.is_any());
        let contents = if limited {
            let targets: Vec<_> = views.iter().map(|view| (view.kind, view.target)).collect();
            store::offer::contents(db, &targets).await?
        } else {
            HashMap::new()
        };
        let around = Circumstances {
            enabled: true,
            company: context.company.as_ref().map(|company| company.id),
            currency: context.currency,
            rates: &rates,
            // Who looks is not judged here; placing does.
            customer: None,
            now: context.at,
        };
        for view in views {
            let line = LineFacts {
                id: CartLineId::new(Uuid::nil()),
                product: view.product,
                quantity: 1,
                subtotal: view
                    .quote
                    .as_ref()
                    .ok()
                    .and_then(|quote| if quote.quantity == 1 { Some(quote.subtotal) } else { quote.unit_price }),
                credits: view.gives.map_or(0, |gives| gives.count),
                couponable: view.couponable,
                product_code: view.product_code.as_deref(),
                contents: contents.get(&view.target).map_or(&[], Vec::as_slice),
                session: None,
                event: None,
            };
            let offered = packs.iter().filter_map(|(coupon, code)| {
                let added = Added {
                    code: code.id,
                    coupon: coupon.id,
                    key: &code.key,
                    rules: &coupon.rules,
                    active: coupon.active,
                    void: false,
                    single_use: false,
                    uses: Uses { coupon: coupon.used, code: 0, customer: 0 },
                };
                let outcome = replay(std::slice::from_ref(&line), std::slice::from_ref(&added), &around);
                let pack = outcome.lines.first()?.pack?;
                Some(PublicPack { code: code.code.clone(), price: pack.unit_price, credits: pack.credits_each })
            });
            view.packs = offered.collect();
        }
        Ok(())
    }
}
