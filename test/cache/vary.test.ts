import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KeyWriter } from '../../src/cache/key.ts'
import { normaliseVaried } from '../../src/cache/varied-value.ts'
import { encodeVaryNames, parseVary, uniteVary, VaryNames, varyOf, writeVariant } from '../../src/cache/vary.ts'
import { received } from './stored.ts'

const names = (value: string): readonly string[] | string => {
  const vary = parseVary(value)
  return vary.type === 'names' ? vary.names : vary.type
}

const writer = new KeyWriter()
function variant(by: readonly string[], ...lines: readonly string[]): string {
  writer.begin(Buffer.from('primary'))
  writeVariant(writer, by, received(...lines))
  return writer.copy().toString('latin1')
}

/** Whether two requests, each given as its field lines, match by one name. */
const match = (name: string, a: readonly string[], b: readonly string[]): boolean =>
  variant([name], ...a) === variant([name], ...b)

describe('names of Vary', () => {
  it('RFC 9110 §12.5.5: are a list without regard to case and order', () => {
    assert.deepEqual(names('Accept-Encoding,  X-B , x-b,,\taccept'), ['accept', 'accept-encoding', 'x-b'])
    assert.deepEqual(varyOf(received('Vary: X-B', 'vary: X-A')), { type: 'names', names: ['x-a', 'x-b'] })
    assert.deepEqual(varyOf(received('Age: 1')), { type: 'none' })
  })

  it('RFC 9111 §4.1: an asterisk never matches, wherever it stands in the list', () => {
    for (const value of ['*', 'accept, *', '*, *', ' * ', ',*']) assert.equal(names(value), 'any')
    assert.equal(varyOf(received('Vary: accept', 'Vary: *')).type, 'any')
  })

  it('never match where a name is none, or too long', () => {
    for (const value of ['accept encoding', 'a:b', '"a"', 'é', 'a'.repeat(129)]) assert.equal(names(value), 'any')
    assert.deepEqual(names('a'.repeat(128)), ['a'.repeat(128)])
  })

  it('never match where there are 500 of them', () => {
    const of = (count: number): string => Array.from({ length: count }, (_, i) => `x-${i}`).join(', ')
    assert.equal(names(of(500)), 'any')
    assert.equal(names(of(33)), 'any')
    assert.equal(names(of(32)).length, 32)
    assert.deepEqual(names(`${of(32)}, ${of(32)}`), names(of(32)))
  })

  it('are left out where every key holds them', () => {
    assert.equal(names('Host, X-Forwarded-Proto'), 'none')
    assert.deepEqual(names('host, accept'), ['accept'])
  })

  it('never match where the gateway writes the field behind the cache, in any spelling', () => {
    const spelled = ['X-Forwarded-For', 'x_forwarded_for', 'Via', 'Forwarded', 'X-Client-Cert-Subject', 'TE']
    const ofClients = ['x-forwarded', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip']
    const ofCertificates = ['x-client-cert', 'client-cert', 'client-cert-chain']
    const ofRequests = ['cdn-loop', 'x-request-id', 'traceparent', 'tracestate']
    const ofAHop = ['connection', 'trailer', 'transfer-encoding', 'upgrade', 'keep-alive']
    for (const name of [...spelled, ...ofClients, ...ofCertificates, ...ofRequests, ...ofAHop])
      assert.equal(names(`accept, ${name}`), 'any', name)
  })

  it('never match where the cache writes the field: it validates by what is stored', () => {
    for (const name of ['If-None-Match', 'if_none_match', 'If-Modified-Since', 'If-Range'])
      assert.equal(names(`accept, ${name}`), 'any', name)
  })

  it('are those of all responses of a key', () => {
    assert.deepEqual(uniteVary(['accept', 'x-a'], ['accept-encoding', 'x-a']), ['accept', 'accept-encoding', 'x-a'])
    const many = Array.from({ length: 32 }, (_, i) => `x-${i}`)
    assert.deepEqual(uniteVary(many, ['accept']), ['accept'])
  })

  it('come back out of their record, and nothing else does', () => {
    const records = new VaryNames()
    const read = (text: string): readonly string[] | null => {
      const bytes = Buffer.from(`..${text}..`, 'latin1')
      return records.read(bytes, 2, bytes.length - 2)
    }
    assert.deepEqual(read(encodeVaryNames(['accept', 'x-a']).toString()), ['accept', 'x-a'])
    assert.equal(read('accept,x-a'), read('accept,x-a'), 'a record that was read is kept')
    for (const foreign of ['', '*', 'x-a,accept', 'Accept', 'a b', 'accept,*', 'x'.repeat(10_000)])
      assert.equal(read(foreign), null, foreign.slice(0, 10))
    for (let i = 0; i < 1_000; i++) assert.deepEqual(read(`x-${i}`), [`x-${i}`])
  })
})

describe('values of varied fields', () => {
  it('RFC 9111 §4.1: match when they differ in white space that the syntax allows', () => {
    assert.ok(match('accept-language', ['Accept-Language: de,en;q=0.5'], ['accept-language: de ,\ten ; q=0.5']))
    assert.ok(match('accept', ['Accept: text/html,*/*;q=0.1'], ['Accept: text/html , , */* ;q=0.1,']))
  })

  it('RFC 9111 §4.1: match when one is sent as several lines', () => {
    assert.ok(match('accept-encoding', ['accept-encoding: gzip, br'], ['accept-encoding: gzip', 'accept-encoding: br']))
  })

  it('RFC 9111 §4.1: match when they differ in case where it has no meaning', () => {
    assert.ok(match('accept-encoding', ['accept-encoding: GZIP;Q=1'], ['accept-encoding: gzip']))
    assert.ok(match('accept-language', ['accept-language: de-AT'], ['accept-language: DE-at']))
    assert.ok(match('accept', ['accept: Text/HTML;Level=1'], ['accept: text/html;level=1']))
    assert.ok(!match('accept', ['accept: text/html;level=A'], ['accept: text/html;level=a']))
  })

  it('RFC 9110 §12.4.2: match when weights are the same number', () => {
    assert.ok(match('accept-encoding', ['accept-encoding: gzip;q=1.000'], ['accept-encoding: gzip']))
    assert.ok(match('accept-encoding', ['accept-encoding: gzip;q=0.50'], ['accept-encoding: gzip;q=0.5']))
    assert.ok(match('accept-encoding', ['accept-encoding: gzip;q=0.'], ['accept-encoding: gzip;q=0.000']))
    assert.ok(!match('accept-encoding', ['accept-encoding: gzip;q=0'], ['accept-encoding: gzip']))
  })

  it('RFC 9110 §12.5.4: keep their order where weights are equal, and only there', () => {
    assert.ok(!match('accept-language', ['accept-language: de, en'], ['accept-language: en, de']))
    assert.ok(match('accept-language', ['accept-language: en;q=0.5, de'], ['accept-language: de, en;q=0.5']))
    const [one, other] = [['accept-language: en, fr;q=.5'], ['accept-language: fr;q=.5, en']]
    assert.ok(!match('accept-language', one, other), 'a weight outside of the syntax says nothing')
  })

  it('are compared as they are where their syntax is not known or not kept', () => {
    const lines = (value: string): string[] => [`x-a: ${value}`]
    assert.ok(!match('x-a', lines('a,b'), lines('a, b')))
    assert.ok(!match('x-a', lines('a'), lines('A')))
    assert.ok(!match('x-a', ['x-a: a', 'x-a: b'], lines('a, b')))
    assert.ok(!match('user-agent', ['user-agent: x (a, b)'], ['user-agent: x (a,b)']))
    for (const value of ['gzip;q=2', 'gzip;q=0.5;q=0.5', 'gzip;x=1', 'gzip q=1', 'g zip', 'gzip;q="1"'])
      assert.equal(normaliseVaried('accept-encoding', received(`accept-encoding: ${value}`)), undefined, value)
    for (const value of ['text', 'text/', 'text/html;q=0.5;ext=1', 'text/html;a', 'a/b;c="', 'a/b;c="x'])
      assert.equal(normaliseVaried('accept', received(`accept: ${value}`)), undefined, value)
  })

  it('keep commas and semicolons of quoted strings', () => {
    const [quoted, split] = [['accept: a/b;c="x,y;z";q=0.5'], ['accept: a/b;c="x', 'accept: y;z";q=0.5']]
    assert.equal(normaliseVaried('accept', received(...quoted)), 'a/b;c="x,y;z";q=500')
    assert.ok(!match('accept', quoted, split))
    assert.equal(normaliseVaried('accept', received('accept: a/b;c="\\"x, y"')), 'a/b;c="\\"x, y"')
  })

  it('tell absent from empty, and a normal form from the same text as it was sent', () => {
    assert.ok(!match('accept-encoding', [], ['accept-encoding: ']))
    assert.ok(match('accept-encoding', ['accept-encoding: ,'], ['accept-encoding: ']))
    assert.ok(!match('x-a', [], ['x-a: ']))
    assert.ok(match('x-a', ['X-A: 1', 'y: 2'], ['y: 3', 'x-a: 1']))
    assert.ok(!match('accept-encoding', ['accept-encoding: gzip;q=500'], ['accept-encoding: gzip;q=0.5']))
  })

  it('hold the values of names that servers do not tell from theirs', () => {
    assert.ok(!match('x-a', [], ['x_a: evil']))
    assert.ok(!match('x-a', ['x-a: 1'], ['x-a: 1', 'X_A: evil']))
    assert.ok(!match('accept-language', ['accept-language: de'], ['accept-language: de', 'accept_language: en']))
  })

  it('of fields that were added or removed by filters are those that are sent', () => {
    const request = received('x-a: client', 'x-b: client')
    request.set('x-a', 'filter')
    request.remove('x-b')
    writer.begin(Buffer.from('primary'))
    writeVariant(writer, ['x-a', 'x-b'], request)
    assert.equal(writer.copy().toString('latin1'), variant(['x-a', 'x-b'], 'x-a: filter'))
    // So are those of a known syntax, in their normal form.
    const spoken = received('accept-language: de', 'accept: a/b')
    spoken.set('accept-language', 'EN')
    spoken.add('accept', 'c/d')
    writer.begin(Buffer.from('primary'))
    writeVariant(writer, ['accept', 'accept-language'], spoken)
    const sent = writer.copy().toString('latin1')
    assert.equal(sent, variant(['accept', 'accept-language'], 'accept: a/b, c/d', 'accept-language: en'))
  })
})
