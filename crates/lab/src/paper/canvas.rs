//! Drawing: a chart becomes an SVG text and a PNG. The library draws; what is decided here is how it
//! looks.
//!
//! Nothing of the machine is needed: the font is in the program (Noto Sans, SIL Open Font License 1.1).

use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use super::chart::{Axes, Bar, Chart, DrawError, Line, Mark, Picture};

const SIZE: (u32, u32) = (860, 420);
/// What of the width is for the names of lines.
const LEGEND_WIDTH: u32 = 190;
/// Lines with few points have a dot on each.
const DOTS_MAX: usize = 12;
/// A PNG has this many times the points, for sharp letters.
const PNG_SCALE: u32 = 2;

/// Paper, ink and the lines in between. The page replaces these three by those of its own theme.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
pub(super) const INK: RGBColor = RGBColor(31, 35, 40);
pub(super) const GRID: RGBColor = RGBColor(208, 215, 222);

/// Colours that can be told apart by most eyes, on light and dark (after Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(148, 103, 189),
    RGBColor(140, 140, 140),
];
const FAILURE: RGBColor = RGBColor(213, 60, 0);

const FAMILY: &str = "sans-serif";

/// The chart as a picture.
pub(super) fn picture(chart: &Chart) -> Result<Option<Picture>, DrawError> {
    Ok(Some(Picture { svg: svg(chart)?, png: png(chart)? }))
}

/// The font of the pictures, in base64.
pub(super) fn letters() -> Option<String> {
    Some(STANDARD.encode(notosans::REGULAR_TTF))
}

fn svg(chart: &Chart) -> Result<String, DrawError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(chart, &area, 1).map_err(|reason| DrawError { id: chart.id().into(), reason })?;
    }
    Ok(text)
}

fn png(chart: &Chart) -> Result<Vec<u8>, DrawError> {
    let (width, height) = (SIZE.0 * PNG_SCALE, SIZE.1 * PNG_SCALE);
    let failed = |reason: String| DrawError { id: chart.id().into(), reason };
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(chart, &area, PNG_SCALE).map_err(failed)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

impl Chart {
    /// The largest value in it, for the top of its axis. Never less than one.
    fn top(&self) -> f64 {
        let values: Vec<f64> = match self {
            Self::Bars { bars, .. } => {
                let reach = |bar: &Bar| bar.expected.map_or(0.0, |(middle, band)| middle + band);
                bars.iter().map(|bar| bar.value.max(reach(bar))).collect()
            }
            Self::Lines { lines, .. } => {
                lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value).collect()
            }
        };
        values.into_iter().fold(1.0, f64::max)
    }
}

fn draw<DB: DrawingBackend>(chart: &Chart, area: &DrawingArea<DB, Shift>, scale: u32) -> Result<(), String> {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // Refused only for what is no font.
        let _ = register_font(FAMILY, FontStyle::Normal, notosans::REGULAR_TTF);
        let _ = register_font(FAMILY, FontStyle::Bold, notosans::BOLD_TTF);
    });
    area.fill(&PAPER).map_err(|error| error.to_string())?;
    let canvas = Canvas { chart, area, scale };
    let drawn = match chart {
        Chart::Bars { unit, bars, .. } => canvas.draw_bars(unit, bars),
        Chart::Lines { axes, lines, marks, .. } => canvas.draw_lines(axes, lines, marks),
    };
    drawn.map_err(|error| error.to_string())?;
    area.present().map_err(|error| error.to_string())
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn text(size: u32, scale: u32) -> TextStyle<'static> {
    (FAMILY, size * scale).into_font().color(&INK)
}

/// Where a chart is drawn, at its scale.
struct Canvas<'a, DB: DrawingBackend> {
    chart: &'a Chart,
    area: &'a DrawingArea<DB, Shift>,
    scale: u32,
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    fn draw_bars(&self, unit: &str, bars: &[Bar]) -> Drawn<DB> {
        let Self { chart, area, scale } = *self;
        let top = chart.top() * 1.12;
        let mut context = ChartBuilder::on(area)
            .caption(chart.title(), text(17, scale))
            .margin(14 * scale)
            .x_label_area_size(44 * scale)
            .y_label_area_size(64 * scale)
            .build_cartesian_2d(0.0..bars.len() as f64, 0.0..top)?;
        context
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text(12, scale))
            .y_desc(unit)
            .y_label_formatter(&|value| shown(*value))
            .draw()?;
        for (index, bar) in bars.iter().enumerate() {
            let (left, middle) = (index as f64 + 0.2, index as f64 + 0.5);
            let right = index as f64 + 0.8;
            let body = Rectangle::new([(left, 0.0), (right, bar.value)], COLOURS[0].filled());
            context.draw_series([body])?;
            let mut label_at = bar.value;
            if let Some((expected, band)) = bar.expected {
                let (low, high) = ((expected - band).max(0.0), expected + band);
                label_at = label_at.max(high);
                let (edge_left, edge_right) = (left - 0.08, right + 0.08);
                let band =
                    Rectangle::new([(edge_left, low), (edge_right, high)], COLOURS[1].mix(0.35).filled());
                context.draw_series([band])?;
                let line = PathElement::new(
                    [(edge_left, expected), (edge_right, expected)],
                    COLOURS[1].stroke_width(2 * scale),
                );
                context.draw_series([line])?;
            }
            let above = text(12, scale).pos(Pos::new(HPos::Center, VPos::Bottom));
            context.draw_series([Text::new(shown(bar.value), (middle, label_at + top * 0.012), above)])?;
            let below = text(12, scale).pos(Pos::new(HPos::Center, VPos::Top));
            let (x, y) = context.backend_coord(&(middle, 0.0));
            let (base_x, base_y) = area.get_base_pixel();
            for (row, words) in (0..).zip(bar.label.lines()) {
                let place = (x - base_x, y - base_y + (6 + 16 * row) * scale.cast_signed());
                area.draw(&Text::new(words.to_owned(), place, below.clone()))?;
            }
        }
        Ok(())
    }

    fn draw_lines(&self, axes: &Axes, lines: &[Line], marks: &[Mark]) -> Drawn<DB> {
        let Self { chart, area, scale } = *self;
        let (left, right) = ends(lines, marks);
        let top = chart.top() * if marks.is_empty() { 1.08 } else { 1.2 };
        let (plot, legend) = area.split_horizontally((SIZE.0 - LEGEND_WIDTH) * scale);
        let mut context = ChartBuilder::on(&plot)
            .caption(chart.title(), text(17, scale))
            .margin(14 * scale)
            .x_label_area_size(44 * scale)
            .y_label_area_size(64 * scale)
            .build_cartesian_2d(left..right, 0.0..top)?;
        let is_counted = right - left <= 8.0 && left.fract() == 0.0 && right.fract() == 0.0;
        context
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text(12, scale))
            .x_desc(&axes.horizontal)
            .y_desc(&axes.vertical)
            .x_labels(if is_counted { (right - left) as usize + 1 } else { 10 })
            .x_label_formatter(&|value| shown(*value))
            .y_label_formatter(&|value| shown(*value))
            .draw()?;
        for (index, line) in lines.iter().enumerate() {
            let style = colour(index, line).stroke_width(2 * scale);
            context.draw_series([PathElement::new(line.points.clone(), style)])?;
            if line.points.len() <= DOTS_MAX {
                let dot = |point: &(f64, f64)| Circle::new(*point, 3 * scale, colour(index, line).filled());
                context.draw_series(line.points.iter().map(dot))?;
            }
        }
        for (index, mark) in marks.iter().enumerate() {
            let style = INK.mix(0.6).stroke_width(scale);
            context.draw_series([PathElement::new([(mark.at, 0.0), (mark.at, top)], style)])?;
            // Words stand where there is room: not across the next mark, and not beyond the end.
            let room = marks.get(index + 1).map_or(right, |next| next.at) - mark.at;
            let (side, words) = match room < (right - left) * 0.3 {
                true => (HPos::Right, format!("{}  ", mark.label)),
                false => (HPos::Left, format!("  {}", mark.label)),
            };
            let style = text(12, scale).pos(Pos::new(side, VPos::Top));
            context.draw_series([Text::new(words, (mark.at, top * 0.985), style)])?;
        }
        draw_legend(&legend, lines, scale)
    }
}

/// The first and the last place on the horizontal axis.
fn ends(lines: &[Line], marks: &[Mark]) -> (f64, f64) {
    let of_lines = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
    let places: Vec<f64> = of_lines.chain(marks.iter().map(|mark| mark.at)).collect();
    let left = places.iter().copied().fold(f64::INFINITY, f64::min);
    let right = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if left < right { (left, right) } else { (0.0, 1.0) }
}

fn draw_legend<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, lines: &[Line], scale: u32) -> Drawn<DB> {
    let unit = scale.cast_signed();
    for (index, line) in lines.iter().enumerate() {
        let y = (56 + 22 * i32::try_from(index).unwrap_or(0)) * unit;
        let stroke = colour(index, line).stroke_width(3 * scale);
        area.draw(&PathElement::new([(2 * unit, y), (22 * unit, y)], stroke))?;
        let style = text(12, scale).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(line.label.clone(), (28 * unit, y), style))?;
    }
    Ok(())
}

fn colour(index: usize, line: &Line) -> RGBColor {
    if line.is_failure { FAILURE } else { COLOURS[index % COLOURS.len()] }
}

/// As short as it is clear.
fn shown(value: f64) -> String {
    let text = match value {
        _ if value >= 1000.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
