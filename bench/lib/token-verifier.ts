/**
 * A program that verifies tokens with jose and does nothing else: what verifying costs at least. On each line of
 * standard input, a number of seconds, it verifies so long and prints how many.
 */
import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { jwtVerify } from 'jose'
import { AUDIENCE, ISSUER } from './access-tokens.ts'

/** As many at a time as the load has connections. */
const AT_A_TIME = 64

const { fresh, publicKey } = JSON.parse(process.argv[2] ?? '{}') as { fresh: string; publicKey: string }
const tokens = readFileSync(fresh, 'latin1')
  .trim()
  .split('\n')
  .map((line) => line.slice('Bearer '.length))
const key = createPublicKey(publicKey)
const options = { issuer: ISSUER, audience: AUDIENCE, algorithms: ['RS256'], clockTolerance: 30 }
let next = 0

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const began = performance.now()
  const end = began + Number(line) * 1_000
  let verified = 0
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      next = (next + 1) % tokens.length
      await jwtVerify(tokens[next]!, key, options)
      verified++
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, lane))
  console.log(JSON.stringify({ verified, seconds: (performance.now() - began) / 1_000 }))
}
