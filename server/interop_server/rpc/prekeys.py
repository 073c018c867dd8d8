"""The prekey service: authenticates, converts, calls one rule, answers; knows no rule itself."""

from interop_api.v1 import prekeys_pb2 as pb
from interop_api.v1 import prekeys_pb2_grpc
from interop_server.core.addressing import jid_or_nothing
from interop_server.core.capabilities import Capability
from interop_server.core.errors import Refusal
from interop_server.core.journal import Journal
from interop_server.core.keys.prekeys import PreKeys
from interop_server.core.model import Account, KnownDevice
from interop_server.rpc.calls import Context, call_of, caller
from interop_server.rpc.convert.keys import (
    bundle_to,
    kem_prekeys_from,
    one_time_prekeys_from,
    published_keys_from,
    signed_prekey_from,
)
from interop_server.rpc.errors import refusal_to
from interop_server.shared_answers import SharedAnswers


class PreKeyServicer(prekeys_pb2_grpc.PreKeyServiceServicer):
    """See PreKeyService in prekeys.proto."""

    def __init__(self, prekeys: PreKeys, journal: Journal) -> None:
        self._prekeys = prekeys
        self._journal = journal
        self._digests = SharedAnswers[pb.GetKeyDigestResponse]()

    async def SetPreKeys(self, request: pb.SetPreKeysRequest, context: Context) -> pb.SetPreKeysResponse:
        """Replaces all keys."""
        account = caller(context)
        one_time = one_time_prekeys_from(request.one_time_prekeys)
        kem = kem_prekeys_from(request.kem_prekeys) if request.HasField("kem_prekeys") else None
        is_low = await self._prekeys.publish(account, published_keys_from(request), one_time, kem)
        return pb.SetPreKeysResponse(count_low=is_low)

    async def AddOneTimePreKeys(
        self, request: pb.AddOneTimePreKeysRequest, context: Context
    ) -> pb.AddOneTimePreKeysResponse:
        """Adds one-time prekeys."""
        account = caller(context)
        is_low = await self._prekeys.add(account, one_time_prekeys_from(request.one_time_prekeys))
        return pb.AddOneTimePreKeysResponse(count_low=is_low)

    async def DeleteOneTimePreKeys(
        self, request: pb.DeleteOneTimePreKeysRequest, context: Context
    ) -> pb.DeleteOneTimePreKeysResponse:
        """Deletes one-time prekeys."""
        await self._prekeys.delete(caller(context), list(request.key_ids))
        return pb.DeleteOneTimePreKeysResponse()

    async def AddKemPreKeys(self, request: pb.AddKemPreKeysRequest, context: Context) -> pb.AddKemPreKeysResponse:
        """Adds KEM prekeys."""
        account = caller(context)
        is_low = await self._prekeys.add_kem(account, kem_prekeys_from(request.kem_prekeys))
        return pb.AddKemPreKeysResponse(count_low=is_low)

    async def DeleteKemPreKeys(
        self, request: pb.DeleteKemPreKeysRequest, context: Context
    ) -> pb.DeleteKemPreKeysResponse:
        """Withdraws KEM prekeys."""
        await self._prekeys.delete_kem(caller(context))
        return pb.DeleteKemPreKeysResponse()

    async def CountOneTimePreKeys(
        self, request: pb.CountOneTimePreKeysRequest, context: Context
    ) -> pb.CountOneTimePreKeysResponse:
        """Counts one-time prekeys."""
        counts = await self._prekeys.count(caller(context))
        return pb.CountOneTimePreKeysResponse(count=counts.one_time, kem_count=counts.kem or 0)

    async def TakePreKeyBundles(
        self, request: pb.TakePreKeyBundlesRequest, context: Context
    ) -> pb.TakePreKeyBundlesResponse:
        """Takes bundles."""
        account = caller(context)
        outcomes = await self._prekeys.take(account, list(request.jids), with_kem=_knows_kem(context))
        response = pb.TakePreKeyBundlesResponse()
        for jid, outcome in zip(request.jids, outcomes, strict=True):
            result = response.results.add(jid=jid)
            if isinstance(outcome, Refusal):
                self._journal.refuse(outcome, account.jid, "PreKeyService.TakePreKeyBundles", jid_or_nothing(jid))
                result.error.CopyFrom(refusal_to(outcome))
            else:
                result.bundles.extend(map(bundle_to, outcome))
        return response

    async def TakeMissingPreKeyBundles(
        self, request: pb.TakeMissingPreKeyBundlesRequest, context: Context
    ) -> pb.TakeMissingPreKeyBundlesResponse:
        """Takes bundles of devices whose current state the caller does not know."""
        known = [(user.jid, _known_devices_from(user)) for user in request.users]
        account = caller(context)
        outcomes = await self._prekeys.take_missing(account, known, with_kem=_knows_kem(context))
        response = pb.TakeMissingPreKeyBundlesResponse()
        for (jid, _), outcome in zip(known, outcomes, strict=True):
            result = response.results.add(jid=jid)
            if isinstance(outcome, Refusal):
                about = jid_or_nothing(jid)
                self._journal.refuse(outcome, account.jid, "PreKeyService.TakeMissingPreKeyBundles", about)
                result.error.CopyFrom(refusal_to(outcome))
            else:
                result.bundles.extend(map(bundle_to, outcome))
        return response

    async def RotateSignedPreKey(
        self, request: pb.RotateSignedPreKeyRequest, context: Context
    ) -> pb.RotateSignedPreKeyResponse:
        """Replaces the signed prekey."""
        await self._prekeys.rotate(caller(context), signed_prekey_from(request.signed_prekey))
        return pb.RotateSignedPreKeyResponse()

    async def GetKeyDigest(self, request: pb.GetKeyDigestRequest, context: Context) -> pb.GetKeyDigestResponse:
        """Returns what the server holds."""
        account = caller(context)
        return await self._digests.get(account.account_id, lambda: self._digest(account))

    async def _digest(self, account: Account) -> pb.GetKeyDigestResponse:
        digest = await self._prekeys.digest(account)
        return pb.GetKeyDigestResponse(
            registration_id=digest.keys.registration_id,
            identity_key=digest.keys.identity_key,
            signed_prekey_id=digest.keys.signed_prekey.key_id,
            one_time_prekey_ids=digest.one_time_prekey_ids,
            digest=digest.digest,
            kem_prekey_ids=digest.kem_ids.one_time,
            kem_last_resort_id=digest.kem_ids.last_resort,
        )


def _knows_kem(context: Context) -> bool:
    return Capability.KEM_PREKEYS in call_of(context).capabilities


def _known_devices_from(user: pb.KnownRegistration) -> list[KnownDevice]:
    return [KnownDevice(device.device_id, device.registration_id) for device in user.devices]
