/** Where Redis is, by the settings: what a thread needs to connect to it, with names of contents instead of secrets. */
import type { SettingsObject } from '../api/settings.ts'
import { contentId } from '../policy/contents.ts'
import { CA_SECRET, REDIS_SECRET } from '../policy/secret-types.ts'
import type { RedisLocation } from '../snapshot/redis-location.ts'

/** @returns null where the settings name none */
export function redisLocation({ redis }: Pick<SettingsObject, 'redis'>): RedisLocation | null {
  if (redis === undefined) return null
  const { mode, addresses, masterName, keyPrefix, secretName, namespace = '', tls } = redis
  const secret = (name: string, key: string, type: string): string =>
    contentId({ kind: 'Secret', namespace, name, key, type })
  const { type, username, password, sentinelUsername, sentinelPassword } = REDIS_SECRET
  return {
    mode,
    addresses,
    ...(masterName === undefined ? {} : { masterName }),
    keyPrefix,
    ...(secretName === undefined
      ? {}
      : {
          secret: {
            username: secret(secretName, username, type),
            password: secret(secretName, password, type),
            sentinelUsername: secret(secretName, sentinelUsername, type),
            sentinelPassword: secret(secretName, sentinelPassword, type),
          },
        }),
    ...(tls === undefined ? {} : { tls: tlsLocation(tls, secret) }),
  }
}

function tlsLocation(
  { caSecretName, serverName }: NonNullable<NonNullable<SettingsObject['redis']>['tls']>,
  secret: (name: string, key: string, type: string) => string,
): NonNullable<RedisLocation['tls']> {
  return {
    ...(caSecretName === undefined ? {} : { ca: secret(caSecretName, CA_SECRET.key, CA_SECRET.type) }),
    ...(serverName === undefined ? {} : { serverName }),
  }
}
