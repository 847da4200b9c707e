/**
 * A strict reader of the Prometheus text exposition format, version 0.0.4: it accepts less than Prometheus does, so
 * that nothing a stricter tool would refuse gets through.
 */
import assert from 'node:assert/strict'

export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly series: Series[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const NUMBER = /^(?:[+-]?Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/

export function parseExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line has an end')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: { name: string; text: string } | undefined
  let family: Family | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    const meta = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line)
    if (meta?.[1] === 'HELP') {
      assert.match(meta[2]!, NAME)
      assert.doesNotMatch(meta[3]!, /\\[^\\n]/, line)
      help = { name: meta[2]!, text: meta[3]! }
      family = undefined
    } else if (meta?.[1] === 'TYPE') {
      assert.equal(help?.name, meta[2], `TYPE stands right after its HELP: ${line}`)
      assert.match(meta[3]!, /^(counter|gauge|histogram)$/)
      assert.equal(families.has(meta[2]!), false, `${meta[2]} comes once`)
      family = { name: meta[2]!, type: meta[3]!, help: help!.text, series: [] }
      families.set(family.name, family)
    } else {
      assert.ok(family !== undefined, `a sample stands below its TYPE: ${line}`)
      const series = parseSample(line, family)
      const id = `${series.name}${JSON.stringify(Object.entries(series.labels).sort())}`
      assert.equal(seen.has(id), false, `${line} comes once`)
      seen.add(id)
      family.series.push(series)
    }
  }
  for (const one of families.values()) check(one)
  return families
}

function parseSample(line: string, family: Family): Series {
  const parts = SAMPLE.exec(line)
  assert.ok(parts !== null, line)
  const [, name, text, value] = parts
  const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  assert.ok(
    suffixes.some((suffix) => name === family.name + suffix),
    line,
  )
  assert.match(value!, NUMBER)
  const labels: Record<string, string> = {}
  for (let rest = text ?? ''; rest !== ''; ) {
    const label = LABEL.exec(rest)
    assert.ok(label !== null, line)
    assert.equal(label[1]! in labels, false, line)
    labels[label[1]!] = label[2]!.replaceAll(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char))
    rest = rest.slice(label[0].length)
  }
  return { name: name!, labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) }
}

function check(family: Family): void {
  const { name, type, series } = family
  if (type === 'counter') assert.ok(name.endsWith('_total'), name)
  else assert.ok(!name.endsWith('_total'), name)
  if (type !== 'gauge') for (const { value } of series) assert.ok(value >= 0, name)
  if (type === 'histogram') checkHistogram(family)
}

/** Bounds rise, counts do not fall, the last bucket holds all. */
function checkHistogram({ name, series }: Family): void {
  const groups = new Map<string, Series[]>()
  for (const one of series) {
    const { le: _, ...labels } = one.labels
    const id = JSON.stringify(labels)
    groups.set(id, [...(groups.get(id) ?? []), one])
  }
  for (const group of groups.values()) {
    const buckets = group.filter((one) => one.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)))
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY)
    for (let i = 1; i < buckets.length; i++) {
      assert.ok(bounds[i]! > bounds[i - 1]!, name)
      assert.ok(buckets[i]!.value >= buckets[i - 1]!.value, name)
    }
    const count = group.filter((one) => one.name === `${name}_count`)
    assert.equal(count.length, 1)
    assert.equal(count[0]!.value, buckets.at(-1)!.value)
    assert.equal(group.filter((one) => one.name === `${name}_sum`).length, 1)
  }
}
