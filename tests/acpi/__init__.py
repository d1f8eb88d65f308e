"""The CPU hot-plug protocol in chapters, one file each; a chapter begins with what the specification says.

 1 test_legacy_bitmap      presence at power-on            9 test_events           when events arise, how long they last
 2 test_switch_to_modern   from there to the registers    10 test_gpe_and_sci      how pc and q35 tell the guest
 3 test_selector           which CPU is meant             11 test_ged              how other platforms do
 4 test_decoding           which register is reached      12 test_aml_walk         what the guest's AML does
 5 test_flags              what is so                     13 test_hotplug_snapshots
 6 test_control            what the guest does about it   14 test_legacy_walk      the AML of old machine types
 7 test_commands           looking for events and ids     15 test_firmware_walk    firmware's part
 8 test_ost                reporting back

Boards of our own are in boards.py, whole machines as boards in managed_boards.py, QEMU's in qemu_board.py.  All chapters at
once: test_hotplug_machine.py and test_against_qemu.py.  The rest of the folder is about tables and AML.
"""
