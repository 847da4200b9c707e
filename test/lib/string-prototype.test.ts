import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

/** Of a process of its own: what V8 says of `String.prototype` behind some code. */
function isFast(code: string): boolean {
  const script = `${code}\nconsole.log(%HasFastProperties(String.prototype))`
  const arguments_ = ['--allow-natives-syntax', '--input-type=module', '--eval', script]
  const output = execFileSync(process.execPath, arguments_, { encoding: 'utf8', timeout: 60_000 })
  return output.trim() === 'true'
}

const of = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)

test('String.prototype is fast with all that a worker loads, and one library that extends String', () => {
  assert.equal(isFast(`await import(${of('worker/data-plane.ts')})`), true)
})

test('it is made fast again behind a class that extends String', () => {
  const extend = 'class Text extends String {}; new Text("text")'
  assert.equal(isFast(extend), false, 'what there is a remedy for')
  const again = `const { optimizeStringPrototype } = await import(${of('lib/string-prototype.ts')})`
  assert.equal(isFast(`${extend}\n${again}\noptimizeStringPrototype()`), true)
  assert.equal(isFast(`${again}\noptimizeStringPrototype()\n${extend}`), true, 'or before it')
})
