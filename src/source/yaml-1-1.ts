/**
 * Scalars that two readers of YAML take for different things. Headgate reads the core schema of YAML 1.2.2 (§10.3);
 * kubectl reads YAML 1.1 as go-yaml does: `on` is true, `010` is eight. The same manifest must mean the same in both
 * places, so whoever writes one of these is told to use quotes.
 */

const BOOLEAN = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/
const OCTAL = /^[-+]?0[0-7_]+$/
const BINARY = /^[-+]?0b[01_]+$/
const UNDERSCORED = /^[-+]?(?:0x[\da-fA-F_]+|0o[0-7_]+|[1-9][\d_]*|0)(?:\.[\d_]*)?$/
const SEXAGESIMAL = /^[-+]?[1-9][\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/

/**
 * @param source a plain (unquoted, untagged) scalar as it is written
 * @param value what the core schema makes of it
 * @returns a sentence for a person, null when both readers agree
 */
export function readDifferently(source: string, value: unknown): string | null {
  const here = typeof value === 'string' ? `the text "${value}"` : `${String(value)}`
  const there = inYaml11(source)
  if (there === null || there === here) return null
  const reader = SEXAGESIMAL.test(source) ? 'Some readers of YAML 1.1 take' : 'In YAML 1.1, kubectl takes'
  const remedy =
    typeof value === 'string'
      ? `write "${source}" in quotes`
      : 'write the number in decimal, or in quotes if it is a text'
  return `${reader} \`${source}\` for ${there}, Headgate for ${here}: ${remedy}.`
}

function inYaml11(source: string): string | null {
  if (BOOLEAN.test(source)) return /^(y|on)/i.test(source) ? 'the boolean true' : 'the boolean false'
  const digits = source.replaceAll('_', '').replace(/^[-+]/, '')
  const sign = source.startsWith('-') ? '-' : ''
  if (OCTAL.test(source)) return `${sign}${Number.parseInt(digits, 8)}`
  if (BINARY.test(source)) return `${sign}${Number.parseInt(digits.slice(2), 2)}`
  if (source.includes('_') && UNDERSCORED.test(source)) return `${sign}${Number(digits)}`
  if (SEXAGESIMAL.test(source)) {
    const value = digits.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
    return `${sign}${value}`
  }
  return null
}
