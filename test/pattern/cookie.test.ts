import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findCookie } from '../../src/pattern/cookie.ts'

describe('a cookie', () => {
  it('is found by its whole name, case included', () => {
    assert.equal(findCookie('a=1; sid=x; b=2', 'sid'), 'x')
    assert.equal(findCookie('xsid=1; sid2=2', 'sid'), undefined)
    assert.equal(findCookie('SID=1', 'sid'), undefined)
    assert.equal(findCookie('sid', 'sid'), undefined)
    assert.equal(findCookie('', 'sid'), undefined)
  })
  it('is the first of its name', () => assert.equal(findCookie('sid=1; sid=2', 'sid'), '1'))
  it('may hold an equals sign, be empty, and is not decoded', () => {
    assert.equal(findCookie('sid=a=b', 'sid'), 'a=b')
    assert.equal(findCookie('sid=; b=1', 'sid'), '')
    assert.equal(findCookie('sid="a%20b"', 'sid'), '"a%20b"')
  })
  it('is found with any surrounding blanks', () => {
    assert.equal(findCookie('a=1;sid=x', 'sid'), 'x')
    assert.equal(findCookie('a=1;\t sid=x \t; b', 'sid'), 'x')
    assert.equal(findCookie('sid=', 'sid'), '')
  })
})
