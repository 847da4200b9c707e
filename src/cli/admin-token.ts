/** The token of the admin API, for commands that change something or ask about requests. */
import { readFileSync } from 'node:fs'
import { isBearerToken } from '../source/token-file.ts'
import { AdminError } from './admin-client.ts'
import type { CommandIo } from './io.ts'

export interface TokenIo extends CommandIo {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of a file, or of standard input. @throws where it cannot be read */
  read(file: string): string
}

export const TOKEN_IO: Omit<TokenIo, keyof CommandIo> = {
  environment: process.env,
  read: (file) => readFileSync(file === '-' ? 0 : file, 'utf8'),
}

/**
 * The first line of the file that is no comment.
 *
 * @throws {AdminError} where there is none
 */
export function tokenOf({ tokenFile }: { readonly tokenFile?: string }, io: TokenIo): string {
  const text = tokenFile === undefined ? io.environment.HEADGATE_ADMIN_TOKEN : readText(tokenFile, io)
  const lines = text?.split('\n').map((line) => line.trim())
  const token = lines?.find((line) => line !== '' && !line.startsWith('#'))
  if (token === undefined)
    throw new AdminError('It needs the token of admin.tokenFile: --token-file FILE, or HEADGATE_ADMIN_TOKEN')
  if (!isBearerToken(token))
    throw new AdminError('The token has characters that no token has: it is letters, digits and . _ ~ + / - (RFC 6750)')
  return token
}

/** @throws {AdminError} */
export function readText(file: string, io: TokenIo): string {
  try {
    return io.read(file)
  } catch (error) {
    throw new AdminError(`${file} cannot be read: ${(error as Error).message}`)
  }
}
