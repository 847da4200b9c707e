/** What proxies write, as data, and how it may look on the wire: the oracle for what is read out of it. */
import fc from 'fast-check'

/** A node as a proxy writes it, and the address in it; undefined when it hides the address. */
export interface Node {
  readonly text: string
  readonly address: string | undefined
}

export interface Element {
  readonly node: Node | undefined
  /** As written. */
  readonly proto: string | undefined
  readonly host: string | undefined
}

const v4 = fc
  .tuple(fc.constantFrom('10.', '203.0.'), fc.nat(255), fc.nat(255))
  .map(([net, a, b]) => (net === '10.' ? `${net}0.${a}.${b}` : `${net}${a}.${b}`))
const v6 = fc.constantFrom('2001:db8::1', 'fd00::7', '2001:db8:1:2:3:4:5:6')
const port = fc.option(fc.constantFrom(':80', ':4711', ':_hidden'), { nil: '' })

export const node: fc.Arbitrary<Node> = fc.oneof(
  fc.tuple(v4, port).map(([address, own]) => ({ text: `${address}${own}`, address })),
  fc.tuple(v6, port).map(([address, own]) => ({ text: `[${address}]${own}`, address })),
  fc.constantFrom('unknown', '_hidden', '1.2.3', '10.0.0.1.2', '[10.0.0.1]', '010.0.0.1').map((text) => ({
    text,
    address: undefined,
  })),
)

/** What may stand in the `X-Forwarded-For` of a proxy. */
export const listNode: fc.Arbitrary<Node> = fc.oneof(
  node,
  v6.map((address) => ({ text: address, address })),
)

export const proto = fc.option(fc.constantFrom('http', 'https', 'HTTPS', 'ws', 'wss', 'gopher'), { nil: undefined })
export const host = fc.option(
  fc.constantFrom('shop.test', 'a_b.test', 'Shop.Test:8443', '[2001:db8::1]:8080', 'a.test:', 'a, b.test', 'a"b'),
  { nil: undefined },
)

export const element: fc.Arbitrary<Element> = fc.record({
  node: fc.option(node, { nil: undefined }),
  proto,
  host,
})

const blanks = fc.constantFrom('', '', ' ', '\t', '  ')
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** One element in one of the many ways RFC 7239 §4 allows. */
function written(own: Element): fc.Arbitrary<string> {
  const pairs: fc.Arbitrary<string>[] = []
  const pair = (name: string, value: string): void => {
    const quoted = `"${value.replaceAll(/["\\]/g, '\\$&')}"`
    const escaped = `"${value.replaceAll(/["\\,;o]/g, '\\$&')}"`
    const values = TOKEN.test(value) ? [value, quoted, escaped] : [quoted, escaped]
    pairs.push(
      fc.tuple(fc.constantFrom(name, name.toUpperCase()), fc.constantFrom(...values)).map((both) => both.join('=')),
    )
  }
  if (own.node !== undefined) pair('for', own.node.text)
  if (own.proto !== undefined) pair('proto', own.proto)
  if (own.host !== undefined) pair('host', own.host)
  pair('by', '_gateway, "the; first\\one"')
  return fc
    .tuple(
      fc.tuple(...pairs),
      fc.array(fc.nat(9), { minLength: 4, maxLength: 4 }),
      fc.constantFrom(';', '; ', ' ;', ';;'),
    )
    .map(([all, order, semicolon]) =>
      all
        .map((text, i) => [order[i]!, text] as const)
        .sort(([a], [b]) => a - b)
        .map(([, text]) => text)
        .join(semicolon),
    )
}

/** A list on the wire: blanks and empty elements anywhere. */
export function list(elements: readonly fc.Arbitrary<string>[]): fc.Arbitrary<string> {
  const empty = fc.constantFrom('', '', '', ',', ' , ,')
  return fc
    .tuple(fc.tuple(...elements), fc.array(fc.tuple(empty, blanks, blanks), { minLength: 8, maxLength: 8 }))
    .map(
      ([all, spaces]) =>
        all.map((text, i) => `${spaces[i]![0]}${spaces[i]![1]}${text}${spaces[i]![2]}`).join(',') + spaces[7]![0],
    )
}

export const forwarded = fc
  .array(element, { maxLength: 6 })
  .chain((elements) => fc.tuple(fc.constant(elements), list(elements.map(written))))

export const addressList = fc
  .array(listNode, { maxLength: 6 })
  .chain((nodes) => fc.tuple(fc.constant(nodes), list(nodes.map(({ text }) => fc.constant(text)))))

/** Whatever a client may put into a field before the first proxy appends to it. */
export const garbage = fc
  .array(fc.constantFrom('"', '\\', ',', ';', '=', 'for', 'host', 'proto', '6.6.6.6', ' ', 'x', '\xe9', '[', ']'), {
    maxLength: 12,
  })
  .map((parts) => parts.join(''))
