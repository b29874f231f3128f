//! Markdown of operators as HTML that is safe in a page of the shop.
//!
//! Always true here: HTML in the text is shown as text; a link leads to the web or to an address of mail; no picture, no script, no style.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// The HTML of a Markdown text.
pub fn safe_html(markdown: &str) -> String {
    let parser = Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES);
    // Links do not stand within one another.
    let mut dead_link = false;
    let safe = parser.filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        // Of a picture its words are left.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { ref dest_url, .. }) if !leads_outside(dest_url) => {
            dead_link = true;
            None
        }
        Event::End(TagEnd::Link) if dead_link => {
            dead_link = false;
            None
        }
        // The page has a heading of its own above the text.
        Event::Start(Tag::Heading { level, .. }) => {
            Some(Event::Start(Tag::Heading { level: below(level), id: None, classes: Vec::new(), attrs: Vec::new() }))
        }
        Event::End(TagEnd::Heading(level)) => Some(Event::End(TagEnd::Heading(below(level)))),
        other => Some(other),
    });
    let mut page = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut page, safe);
    page
}

fn leads_outside(url: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

const fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_meant_is_shown_and_nothing_runs() {
        for (markdown, html) in [
            ("# Rust\n\nLearn *it* **now**.", "<h2>Rust</h2>\n<p>Learn <em>it</em> <strong>now</strong>.</p>\n"),
            ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a <b onclick=\"x()\">b</b>", "<p>a &lt;b onclick=\"x()\"&gt;b&lt;/b&gt;</p>\n"),
            ("[go](javascript:alert(1)) on", "<p>go on</p>\n"),
            ("[go](JAVASCRIPT:alert(1))", "<p>go</p>\n"),
            ("[go](data:text/html,x)", "<p>go</p>\n"),
            ("[go](/account)", "<p>go</p>\n"),
            ("[go](https://shop.example/?a=1&b=\"2\")", "<p><a href=\"https://shop.example/?a=1&amp;b=%222%22\">go</a></p>\n"),
            ("<https://shop.example>", "<p><a href=\"https://shop.example\">https://shop.example</a></p>\n"),
            ("![a cat](https://evil.example/pixel.gif)", "<p>a cat</p>\n"),
            ("[![cat](x.png)](javascript:x) tail", "<p>cat tail</p>\n"),
        ] {
            assert_eq!(safe_html(markdown), html, "{markdown}");
        }
    }

    proptest! {
        #[test]
        fn no_tag_of_the_text_survives(text in "(<|>|/|script|img|a|\"|'| |=|on|x|\\]|\\[|\\(|\\)|javascript:|!|`|#|\n|-){0,60}") {
            let html = safe_html(&text);
            prop_assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("href=\"javascript"), "{}", html);
        }
    }
}
