//! Which of several media types a client wants, by its `Accept` header (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// One media range of an `Accept` header; `quality` in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: u16,
}

/// The index of the offered media type that the client likes best; `None` when it accepts none of them.
///
/// Without the header the first offer wins. Between types liked equally, one that is named wins over one that a
/// wildcard covers, then the one named earlier, then the one offered earlier.
#[must_use]
pub fn best(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let values: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<Range<'_>> = values.iter().flat_map(|value| value.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return (!offers.is_empty()).then_some(0);
    }
    let liking = |offer: &str| {
        let (kind, subtype) = offer.split_once('/')?;
        let matching = ranges.iter().enumerate().filter_map(|(position, range)| {
            let specificity = match (range.kind, range.subtype) {
                (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => 2,
                (k, "*") if k.eq_ignore_ascii_case(kind) => 1,
                ("*", "*") => 0,
                _ => return None,
            };
            Some((specificity, position, range.quality))
        });
        // The most specific range decides, even when a wildcard is liked better.
        let (specificity, position, quality) = matching.max_by_key(|(specificity, position, _)| (*specificity, usize::MAX - position))?;
        // A wildcard says nothing about order among the types that it covers.
        let position = if specificity == 2 { usize::MAX - position } else { 0 };
        (quality > 0).then_some((quality, specificity, position))
    };
    let liked = offers.iter().enumerate().filter_map(|(index, offer)| Some((liking(offer)?, usize::MAX - index, index)));
    liked.max().map(|(_, _, index)| index)
}

fn range(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let quality = parts.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1000), thousandths)?;
    Some(Range { kind: kind.trim(), subtype: subtype.trim(), quality })
}

/// `1`, `0.5`, `0.123`: digits only, as the header allows no other form.
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "1" => Some(1000),
        "0" => format!("{fraction:0<3}").parse().ok(),
        _ => None,
    }
}
