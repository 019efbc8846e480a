"""Which device is taken when several are in the room."""

import asyncio

import pytest

pytest.importorskip("bumble")

from physio_hqc.acquisition import Advertised, list_device_profiles, load_device_profile
from physio_hqc.acquisition.ble import find_devices
from physio_hqc.acquisition.ble.fit import fitting_profiles, identity
from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate, VirtualPolarH10
from physio_hqc.errors import RecordingError

HEART_RATE = "0000180d-0000-1000-8000-00805f9b34fb"


async def one_room(*peripherals):
    air = VirtualAir()
    for each in peripherals:
        await air.add(each)
    return air


def serials(*runs):
    return [run.sink.known.get("serial") for run in runs]


class TestTwoStraps:
    def test_without_a_serial_number_both_are_named(self, running):
        async def main():
            straps = VirtualPolarH10("1A2B3C4D"), VirtualPolarH10("5E6F7A8B")
            async with await one_room(*straps) as air:
                async with running("polar_h10", air.backend) as run:
                    with pytest.raises(RecordingError) as caught:
                        await asyncio.wait_for(run.task, 5)
                assert not any(strap.connected for strap in straps)
                return str(caught.value)

        message = asyncio.run(main())
        assert "Polar H10 1A2B3C4D" in message
        assert "Polar H10 5E6F7A8B" in message
        assert "polar_h10=1A2B3C4D" in message
        assert "\n" not in message

    @pytest.mark.parametrize("how", ["serial", "end", "address"])
    def test_the_named_one_is_taken(self, running, how):
        async def main():
            strap = VirtualPolarH10("5E6F7A8B")
            said = {"serial": "5e6f7a8b", "end": "7A8B", "address": strap.address}[how]
            async with (
                await one_room(VirtualPolarH10("1A2B3C4D"), strap) as air,
                running("polar_h10", air.backend, serial=said) as run,
            ):
                await run.until(lambda: "rr" in run.sink.packets)
                return run.sink.known["serial"]

        assert asyncio.run(main()) == "5E6F7A8B"

    def test_a_dyad_has_each_its_own(self, running):
        async def main():
            straps = VirtualPolarH10("1A2B3C4D"), VirtualPolarH10("5E6F7A8B")
            async with (
                await one_room(*straps) as air,
                running("polar_h10", air.backend, serial="5E6F7A8B") as one,
                running("polar_h10", air.backend, serial="1A2B3C4D") as two,
            ):
                for run in (one, two):
                    await run.until(lambda run=run: "rr" in run.sink.packets)
                return serials(one, two)

        assert asyncio.run(main()) == ["5E6F7A8B", "1A2B3C4D"]

    def test_another_serial_number_is_waited_for(self, running):
        async def main():
            strap = VirtualPolarH10("1A2B3C4D")
            async with (
                await one_room(strap) as air,
                running("polar_h10", air.backend, serial="5E6F7A8B") as run,
            ):
                await run.until(lambda: len(run.sink.states) >= 2)
                hint = run.sink.states[-1]
                assert not strap.connected
                await air.add(VirtualPolarH10("5E6F7A8B"))
                await run.until(lambda: run.sink.state_now == "connected")
                return hint, run.sink.known["serial"]

        (_, state, text), serial = asyncio.run(main())
        assert state == "searching"
        assert "serial number 5E6F7A8B" in text
        assert serial == "5E6F7A8B"

    def test_a_serial_number_that_only_the_device_itself_tells(self, running):
        async def main():
            straps = [
                VirtualHeartRate("Strap", serial=f"SN-00{n}", packet_s=0.1) for n in (1, 2, 3)
            ]
            async with (
                await one_room(*straps) as air,
                running("heart_rate", air.backend, serial="SN-002") as run,
            ):
                await run.until(lambda: "hr" in run.sink.packets)
                return run.sink.known["serial"], [strap.connected for strap in straps]

        assert asyncio.run(main()) == ("SN-002", [False, True, False])


class TestTwoProfiles:
    def test_heart_rate_leaves_the_h10_to_its_own_profile(self, running):
        async def main():
            band = VirtualHeartRate("Band", serial="B7")
            async with (
                await one_room(VirtualPolarH10("1A2B3C4D"), band) as air,
                running("heart_rate", air.backend) as any_strap,
                running("polar_h10", air.backend) as h10,
            ):
                for run in (any_strap, h10):
                    await run.until(lambda run=run: "rr" in run.sink.packets)
                return serials(any_strap, h10)

        assert asyncio.run(main()) == ["B7", "1A2B3C4D"]

    def test_a_device_that_is_not_what_its_profile_says_is_refused(self, running):
        h10 = load_device_profile("polar_h10")
        profile = h10.model_copy(update={"advertised": Advertised(names=("Band*",))})

        async def main():
            async with (
                await one_room(VirtualHeartRate("Band 7")) as air,
                running(profile, air.backend) as run,
            ):
                with pytest.raises(
                    RecordingError, match=r"Band 7 .* has no characteristic control"
                ):
                    await asyncio.wait_for(run.task, 5)

        asyncio.run(main())

    def test_a_device_is_not_taken_twice(self, running):
        async def main():
            async with (
                await one_room(VirtualHeartRate("Band", packet_s=0.1)) as air,
                running("heart_rate", air.backend) as one,
            ):
                await one.until(lambda: "hr" in one.sink.packets)
                async with running("heart_rate", air.backend) as two:
                    await two.until(lambda: len(two.sink.states) >= 2)
                    assert two.sink.state_now == "searching"

        asyncio.run(main())


class TestScan:
    def test_says_which_profile_fits(self):
        async def main():
            peripherals = (
                VirtualPolarH10("1A2B3C4D", rssi=-60),
                VirtualHeartRate("Band", rssi=-40),
            )
            async with await one_room(*peripherals) as air:
                return peripherals, await find_devices(0.5, backend=air.backend)

        peripherals, found = asyncio.run(main())
        assert [(d.name, d.rssi, d.profiles) for d in found] == [
            ("Band", -40, ("heart_rate",)),
            ("Polar H10 1A2B3C4D", -60, ("polar_h10", "heart_rate")),
        ]
        assert found[1].serial == "1A2B3C4D"
        assert found[1].address == peripherals[0].address
        assert HEART_RATE in found[1].services

    def test_profiles_fit_by_name_before_service(self):
        profiles = list_device_profiles()
        assert fitting_profiles(profiles, "POLAR h10 12345678", ()) == ("polar_h10",)
        assert fitting_profiles(profiles, "Garmin", (HEART_RATE,)) == ("heart_rate",)
        assert fitting_profiles(profiles, "Fridge", ()) == ()


@pytest.mark.parametrize(
    ("serial", "name", "address", "expected"),
    [
        ("1A2B3C4D", "Polar H10 1A2B3C4D", "AA", "it"),
        ("3c4d", "Polar H10 1A2B3C4D", "AA", "it"),
        ("5E6F7A8B", "Polar H10 1A2B3C4D", "AA", "other"),
        ("5E6F", "Cuff", "AA", "maybe"),
        ("aa-bb-cc-dd-ee-ff", "Cuff", "AA:BB:CC:DD:EE:FF", "it"),
    ],
)
def test_identity(serial, name, address, expected):
    assert identity(serial, name, address) == expected
